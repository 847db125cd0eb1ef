"""Writes what scikit-learn's logistic and ridge regressions come to: linear_head.py FIXTURE.json"""

import json
import sys

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge

random = np.random.default_rng(5)


def features(rows, width):
    return np.round(random.normal(size=(rows, width)) * random.uniform(0.2, 2, width) + 0.5, 3)


def logistic(x, y, penalty, weights=None):
    model = LogisticRegression(C=1 / penalty, tol=1e-13, max_iter=100_000, solver="newton-cholesky")
    model.fit(x, y, sample_weight=weights)
    return model.coef_, model.intercept_


def case(loss, x, targets, penalty, coefficients, bias, weights=None):
    return {
        "loss": loss,
        "penalty": penalty,
        "features": x.tolist(),
        "targets": np.asarray(targets, dtype=float).tolist(),
        "weights": (np.ones(len(x)) if weights is None else weights).tolist(),
        "coefficients": np.asarray(coefficients).tolist(),
        "bias": np.asarray(bias).tolist(),
    }


def softmax(rows, width, classes, penalty, weights=None):
    x = features(rows, width)
    y = np.concatenate([np.arange(classes), random.integers(0, classes, rows - classes)])
    w, b = logistic(x, y, penalty if classes > 2 else penalty / 2, weights)
    if classes == 2:
        # Two rows that differ by scikit-learn's one, of which each has half.
        w, b = np.concatenate([-w / 2, w / 2]), np.concatenate([-b / 2, b / 2])
    return case("softmax", x, np.eye(classes)[y], penalty, w, b, weights)


def sigmoid(rows, width, labels, penalty):
    x = features(rows, width)
    y = random.integers(0, 2, (rows, labels))
    fits = [logistic(x, y[:, k], penalty) for k in range(labels)]
    return case("sigmoid", x, y, penalty, np.concatenate([w for w, _ in fits]), np.concatenate([b for _, b in fits]))


def squared(rows, width, penalty):
    x = features(rows, width)
    y = np.round(x @ random.normal(size=width) + random.normal(size=rows), 3)
    model = Ridge(alpha=penalty, solver="cholesky").fit(x, y)
    return case("squared", x, y[:, None], penalty, model.coef_[None, :], [model.intercept_])


cases = [
    softmax(60, 12, 3, 0.1),
    softmax(60, 12, 5, 10, np.round(random.uniform(0.2, 3, 60), 2)),
    softmax(20, 48, 4, 0.02),
    softmax(24, 12, 2, 1),
    sigmoid(50, 10, 3, 0.5),
    sigmoid(16, 40, 2, 0.1),
    squared(50, 10, 0.3),
    squared(12, 30, 2),
]
with open(sys.argv[1], "w") as file:
    json.dump(cases, file)
    file.write("\n")
