"""What people would do instead of `aflora train` on few labelled rows, on the draws that `npm run bench:few-labels` made.

    python oracle/few_labels.py RUNS MODEL [--rows 8,16] [--setfit]

RUNS is the folder of the benchmark (its --output), MODEL a sentence-transformers folder of the same encoder. Prints the accuracy of
scikit-learn's logistic regression on the frozen sentence vectors, as the encoder has them and scaled to length 1, and with --setfit
that of SetFit with its own defaults, beside what the benchmark found, and keeps all of it in RUNS/peers.jsonl.
"""

import argparse
import json
import statistics
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from sentence_transformers import SentenceTransformer
from sklearn.linear_model import LogisticRegression


def rows_of(file: Path) -> tuple[list[str], list[str]]:
    with file.open(encoding="utf-8") as lines:
        rows = [json.loads(line) for line in lines]
    return [row["text"] for row in rows], [row["label"] for row in rows]


def regression(train: np.ndarray, labels: list[str], test: np.ndarray, truth: list[str]) -> float:
    return float(LogisticRegression(max_iter=5000).fit(train, labels).score(test, truth))


def setfit(model: str, train: tuple[list[str], list[str]], test: tuple[list[str], list[str]], seed: int) -> float:
    from datasets import Dataset
    from setfit import SetFitModel, Trainer, TrainingArguments

    classes = sorted(set(train[1]))
    tuned = SetFitModel.from_pretrained(model, labels=classes, device="cpu")
    # A checkpoint in float16 would train in it, at a small part of the speed.
    tuned.model_body.float()
    rows = Dataset.from_dict({"text": train[0], "label": [classes.index(label) for label in train[1]]})
    settings = TrainingArguments(output_dir=tempfile.mkdtemp(), seed=seed, save_strategy="no", report_to="none")
    Trainer(model=tuned, args=settings, train_dataset=rows).train()
    predicted = tuned.predict(test[0], batch_size=64, show_progress_bar=False)
    return sum(str(one) == truth for one, truth in zip(predicted, test[1])) / len(test[1])


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("runs", type=Path)
    parser.add_argument("model")
    parser.add_argument("--rows")
    parser.add_argument("--setfit", action="store_true")
    given = parser.parse_args()
    encoder = SentenceTransformer(given.model, device="cpu", model_kwargs={"dtype": torch.float32})

    def encoded(texts: list[str]) -> np.ndarray:
        return encoder[1](encoder[0](encoder.tokenize(texts)))["sentence_embedding"].detach().numpy()

    def vectors(texts: list[str]) -> np.ndarray:
        return np.concatenate([encoded(texts[i : i + 32]) for i in range(0, len(texts), 32)])

    test = rows_of(given.runs / "test.jsonl")
    tested = vectors(test[0])
    unit = lambda found: found / np.linalg.norm(found, axis=1, keepdims=True)  # noqa: E731
    kept = given.runs / "peers.jsonl"
    found = [json.loads(line) for line in kept.read_text().splitlines()] if kept.exists() else []
    wanted = given.rows.split(",") if given.rows else None
    for line in (given.runs / "results.jsonl").read_text().splitlines():
        run = json.loads(line)
        if wanted and str(run["rows"]) not in wanted:
            continue
        same = [one for one in found if (one["rows"], one["draw"]) == (run["rows"], run["draw"])]
        peers = same[0] if same else {**run}
        train = rows_of(given.runs / f"{run['rows']}-{run['draw']}" / "train.jsonl")
        if not same:
            trained = vectors(train[0])
            peers["regression"] = regression(trained, train[1], tested, test[1])
            peers["regression of unit vectors"] = regression(unit(trained), train[1], unit(tested), test[1])
            found.append(peers)
        if given.setfit and "setfit" not in peers:
            began = time.time()
            peers["setfit"] = setfit(given.model, train, test, run["draw"])
            peers["setfit seconds"] = time.time() - began
        kept.write_text("".join(json.dumps(one) + "\n" for one in found))
        print(json.dumps(peers), flush=True)

    def column(rows: list[dict], name: str) -> str:
        numbers = [row[name] for row in rows if name in row]
        gains = [row["trained"] - row[name] for row in rows if name in row]
        if not numbers:
            return "–"
        spread = statistics.stdev(gains) / len(gains) ** 0.5 if len(gains) > 1 else float("nan")
        return f"{statistics.mean(numbers):.3f} (trained {statistics.mean(gains):+.3f} ± {spread:.3f})"

    names = ["regression", "regression of unit vectors", "head", "setfit"]
    print("| rows a class | draws | trained | " + " | ".join(names) + " |\n|---" * 1 + "|---" * (2 + len(names)) + "|")
    for rows in sorted({one["rows"] for one in found}):
        own = [one for one in found if one["rows"] == rows]
        trained = statistics.mean(one["trained"] for one in own)
        print(f"| {rows} | {len(own)} | {trained:.3f} | " + " | ".join(column(own, name) for name in names) + " |")


if __name__ == "__main__":
    main()
