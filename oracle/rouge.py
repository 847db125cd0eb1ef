"""ROUGE as Python's rouge-score computes it with stemming, and stems as NLTK's Porter stemmer makes them for it.

    python rouge.py ../../shared/data ../test/fixtures/rouge.json

`stems`: words of GSM8K (MIT licence). `texts`: made-up pairs with their scores. `dialogsum`: scores alone of 500 pairs of
DialogSum's validation split, whose texts stay where they are: a summary with the dialogue's first three lines, or every other one
with the next row's summary, sentences on lines.
"""

import json
import random
import re
import sys
from pathlib import Path

from fixtures import write_json
from nltk.stem import porter
from rouge_score import rouge_scorer

data, out = map(Path, sys.argv[1:])
NAMES = ["rouge1", "rouge2", "rougeL", "rougeLsum"]
scorer = rouge_scorer.RougeScorer(NAMES, use_stemmer=True)


def scores(text, reference):
    found = scorer.score(reference, text)
    return [round(found[name].fmeasure, 6) for name in NAMES]


def lines(text):
    return re.sub(r"(?<=[.!?]) ", "\n", text)


rows = [json.loads(line) for line in open(data / "dialogsum" / "dev.jsonl", encoding="utf-8")]
pairs = []
for i, row in enumerate(rows):
    other = lines(rows[(i + 1) % len(rows)]["summary"]) if i % 2 else "\n".join(row["dialogue"].split("\n")[:3])
    pairs.append(scores(other, lines(row["summary"])))

words = set()
for line in open(data / "gsm8k" / "train.jsonl", encoding="utf-8"):
    row = json.loads(line)
    words |= set(re.findall(r"[a-z0-9]+", (row["question"] + " " + row["answer"]).lower()))
MORE = "skies dying lying tying news innings outings cannings howe proceed exceed succeed ties dies tied died spied flies by say bys happy sky \
relational conditional valenci hesitanci digitizer conformabli radicalli differentli vileli analogousli vietnamization predication operator \
feudalism decisiveness hopefulness callousness formaliti sensitiviti sensibiliti triplicate formative formalize electriciti electrical hopeful \
goodness revival allowance inference airliner gyroscopic adjustable defensible irritant replacement adjustment dependent adoption homologou \
communism activate angulariti homologous effective bowdlerize probate rate cease controll roll agreed feed plastered motoring sing conflated \
troubled sized hopping tanned falling hissing fizzed failing filing geologi apologi logy fulli carefulli generalli oed yes ying eed".split()
stemmer = porter.PorterStemmer()
stems = {word: stemmer.stem(word) for word in sorted(words)[::4] + MORE}

draw = random.Random(3)
vocabulary = "the a cat cats sat sitting on mat running runs quickly 12 3.5 don't café TODAY generously hopes . , !".split()


def made_up():
    return "\n".join(" ".join(draw.choice(vocabulary) for _ in range(draw.randint(0, 9))) for _ in range(draw.randint(1, 4)))


texts = [(made_up(), made_up()) for _ in range(60)] + [("", ""), ("a", ""), ("", "a"), ("\n\n", "a b"), ("a", "a")]
write_json(out, {"stems": stems, "texts": [[*pair, scores(*pair)] for pair in texts], "dialogsum": pairs})
print(len(stems), len(pairs))
