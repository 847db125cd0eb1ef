"""scikit-learn's side of bench/linear-head.ts: LogisticRegressionCV, once for each line on stdin. Answers with the seconds, the process's peak
memory in bytes and the accuracy on other rows.

    python linear_head_speed.py SET.json THREADS
"""

import json
import resource
import sys
import time
import warnings

import numpy as np
from sklearn.linear_model import LogisticRegressionCV
from sklearn.model_selection import PredefinedSplit
from threadpoolctl import threadpool_limits

warnings.filterwarnings("ignore")
path, threads = sys.argv[1:]
with open(path) as file:
    task = json.load(file)


def vectors(name):
    return np.fromfile(task[name], dtype=np.float32).reshape(-1, task["width"]).astype(np.float64)


train, other = vectors("features"), vectors("others")
mean = train.mean(axis=0)
scale = np.sqrt(((train - mean) ** 2).sum(axis=1).mean())
train, other = (train - mean) / scale, (other - mean) / scale
classes = np.array(task["classes"])
# With two classes scikit-learn has one row of coefficients, which is the difference of ours: a penalty counts half.
halves = 0.5 if task["outputs"] == 2 else 1
strengths = 1 / (np.array(task["penalties"]) * halves)

with threadpool_limits(int(threads)):
    for _ in sys.stdin:
        start = time.perf_counter()
        model = LogisticRegressionCV(
            Cs=strengths, cv=PredefinedSplit(task["folds"]), scoring="neg_log_loss", use_legacy_attributes=False
        ).fit(train, classes)
        seconds = time.perf_counter() - start
        score = (model.predict(other) == np.array(task["otherClasses"])).mean()
        print(seconds, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024, score, flush=True)
