"""Writes test/fixtures/metrics.json: made-up predictions and labels with the numbers of scikit-learn, SciPy and seqeval.

    pip install scikit-learn scipy seqeval
    python oracle/metrics.py
"""

import json
import random
import warnings
from pathlib import Path

import numpy as np
from scipy.stats import pearsonr, spearmanr
from seqeval.metrics import accuracy_score as tag_accuracy
from seqeval.metrics import f1_score as entity_f1
from seqeval.metrics import precision_score as entity_precision
from seqeval.metrics import recall_score as entity_recall
from sklearn.metrics import accuracy_score, confusion_matrix, f1_score, matthews_corrcoef, mean_squared_error
from sklearn.utils.class_weight import compute_class_weight

warnings.filterwarnings("ignore")
random.seed(7)


def classification(classes, predictions, labels):
    expected = {
        "accuracy": accuracy_score(labels, predictions),
        "macro_f1": f1_score(labels, predictions, average="macro"),
        "micro_f1": f1_score(labels, predictions, average="micro"),
        "matthews_correlation": matthews_corrcoef(labels, predictions),
    }
    if classes == 2:
        expected["f1"] = f1_score(labels, predictions)
    present = np.unique(labels)
    return {
        "classes": classes,
        "predictions": predictions,
        "labels": labels,
        "expected": expected,
        "confusion": confusion_matrix(labels, predictions, labels=range(classes)).tolist(),
        "balanced": dict(
            zip(map(str, present.tolist()), compute_class_weight("balanced", classes=present, y=np.array(labels)).tolist())
        ),
    }


def draw(classes, n):
    return [random.randrange(classes) for _ in range(n)]


def noisy(labels, classes):
    return [y if random.random() < 0.6 else random.randrange(classes) for y in labels]


def regression(predictions, labels):
    return {
        "predictions": predictions,
        "labels": labels,
        "expected": {
            "pearson": pearsonr(predictions, labels)[0],
            "spearmanr": spearmanr(predictions, labels)[0],
            "mean_squared_error": mean_squared_error(labels, predictions),
        },
    }


def multi_label(classes, predictions, labels):
    matrix = lambda rows: np.array([[int(c in row) for c in range(classes)] for row in rows])
    return {
        "classes": classes,
        "predictions": predictions,
        "labels": labels,
        "expected": {
            "micro_f1": f1_score(matrix(labels), matrix(predictions), average="micro"),
            "macro_f1": f1_score(matrix(labels), matrix(predictions), average="macro"),
        },
    }


def entities(tags, predictions, labels):
    return {
        "tags": tags,
        "predictions": predictions,
        "labels": labels,
        "expected": {
            "f1": entity_f1(labels, predictions),
            "precision": entity_precision(labels, predictions),
            "recall": entity_recall(labels, predictions),
            "accuracy": tag_accuracy(labels, predictions),
        },
    }


cases = {"classification": [], "regression": [], "multi-label": [], "token-classification": []}
for classes in (2, 2, 3, 5):
    labels = draw(classes, 40)
    cases["classification"].append(classification(classes, noisy(labels, classes), labels))
cases["classification"].append(classification(2, [0] * 8, [0, 1, 0, 0, 1, 0, 0, 0]))
cases["classification"].append(classification(2, [0] * 4, [0] * 4))
cases["classification"].append(classification(4, noisy(draw(3, 20), 3), draw(3, 20)))

labels = [random.uniform(0, 5) for _ in range(40)]
cases["regression"].append(regression([y + random.gauss(0, 1) for y in labels], labels))
labels = [random.randrange(11) / 2 for _ in range(40)]
cases["regression"].append(regression([round(y + random.gauss(0, 1)) for y in labels], labels))
cases["regression"].append(regression([-y for y in labels], labels))
cases["regression"].append(regression([1e6 + y / 10 for y in labels], labels))

# scikit-learn takes a single column for a binary problem, so begin at two.
for classes in (2, 3, 6):
    some = lambda p: [[c for c in range(classes) if random.random() < p] for _ in range(30)]
    labels = some(0.4)
    cases["multi-label"].append(multi_label(classes, [y if random.random() < 0.5 else z for y, z in zip(labels, some(0.4))], labels))
cases["multi-label"].append(multi_label(3, [[0], [], [0, 1]], [[0, 1], [], [1]]))

for tags in (["O", "B-PER", "I-PER", "B-LOC", "I-LOC"], ["O", "B", "I"], ["O"] + [f"{p}-{t}" for t in ("X-Y", "Z") for p in "BIES"]):
    for n in (1, 30):
        labels = [[random.choice(tags) for _ in range(random.randrange(1, 12))] for _ in range(n)]
        predictions = [[t if random.random() < 0.7 else random.choice(tags) for t in row] for row in labels]
        cases["token-classification"].append(entities(tags, predictions, labels))
cases["token-classification"].append(entities(["O", "B-PER"], [["O", "O"]], [["O", "O"]]))

target = Path(__file__).parent.parent / "test" / "fixtures" / "metrics.json"
target.write_text(json.dumps(cases) + "\n")
