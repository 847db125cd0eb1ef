"""scikit-learn on the vectors that bench/unfamiliar-data.ts wrote to a folder: prints the score on the test rows.

Classes: LogisticRegressionCV over ten penalties (LogisticRegression with C = 1 if a class has fewer than three rows), accuracy.
Numbers: RidgeCV over seven penalties, Pearson correlation.
"""

import json
import sys
from collections import Counter
from pathlib import Path

import numpy as np
from sklearn.linear_model import LogisticRegression, LogisticRegressionCV, RidgeCV


def read(part: str) -> tuple[np.ndarray, list]:
    lines = (Path(sys.argv[1]) / f"{part}.vectors.jsonl").read_text(encoding="utf-8").splitlines()
    rows = [json.loads(line) for line in lines]
    return np.array([row["vector"] for row in rows]), [row["label"] for row in rows]


(train, labels), (test, truth) = read("train"), read("test")
if isinstance(labels[0], str):
    fewest = min(Counter(labels).values())
    few = LogisticRegression(max_iter=2000)
    model = few if fewest < 3 else LogisticRegressionCV(Cs=10, cv=min(5, fewest), max_iter=2000)
    print(model.fit(train, labels).score(test, truth))
else:
    found = RidgeCV(alphas=np.logspace(-3, 3, 7)).fit(train, labels).predict(test)
    print(np.corrcoef(found, truth)[0, 1])
