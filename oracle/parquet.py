"""Parquet files as the hub keeps them, of a few rows of GLUE, of words with tags and of conversations.

    python parquet.py GLUE_FOLDER ../test/fixtures/parquet
"""

import csv
import sys
from pathlib import Path

from datasets import ClassLabel, Dataset, Features, List, Value

glue, out = map(Path, sys.argv[1:])
out.mkdir(parents=True, exist_ok=True)


def rows(path, count, **columns):
    """`columns` maps names to fields of the file and their types."""
    with open(glue / path, encoding="utf-8-sig", newline="") as file:
        lines = [line for _, line in zip(range(count + 1), csv.reader(file, delimiter="\t", quoting=csv.QUOTE_NONE))][1:]
    return {name: [kind(line[i]) for line in lines] for name, (i, kind) in columns.items()} | {"idx": list(range(count))}


def write(name, features, columns):
    Dataset.from_dict(columns, features=Features(features)).to_parquet(out / f"{name}.parquet")


string, integer, real = Value("string"), Value("int32"), Value("float32")

cola = {"sentence": string, "label": ClassLabel(names=["unacceptable", "acceptable"]), "idx": integer}
for split, path, start in (("train-00000-of-00002", "train", 0), ("train-00001-of-00002", "train", 12), ("validation-00000-of-00001", "dev", 0)):
    taken = rows(f"CoLA/{path}.tsv", start + 12, sentence=(3, str), label=(1, int))
    write(f"cola-{split}", cola, {name: values[start:] for name, values in taken.items()})

stsb = {"sentence1": string, "sentence2": string, "label": real, "idx": integer}
write("stsb-train", stsb, rows("STS-B/train.tsv", 30, sentence1=(7, str), sentence2=(8, str), label=(9, float)))

tags = ClassLabel(names=["O", "B-PER", "I-PER", "B-LOC"])
write(
    "tagged-train",
    {"id": string, "tokens": List(string), "ner_tags": List(tags)},
    {
        "id": [str(i) for i in range(10)],
        "tokens": [["Ada", "Lovelace", "lived", "in", "London", "."]] * 10,
        "ner_tags": [[1, 2, 0, 0, 3, 0]] * 10,
    },
)
write(
    "chat-train",
    {"id": string, "messages": List({"role": string, "content": string})},
    {
        "id": [str(i) for i in range(10)],
        "messages": [
            [
                {"role": "user", "content": f"What is {i} plus 2?"},
                {"role": "assistant", "content": f"It is {i + 2}."},
            ]
            for i in range(10)
        ],
    },
)
write("unlabelled-train", cola, {"sentence": ["one", "two"], "label": [-1, -1], "idx": [0, 1]})
