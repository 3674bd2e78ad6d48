#!/usr/bin/env python3
"""Writes test/fixtures/metrics.json: what scikit-learn, scipy and torch (float64) compute for random and degenerate rows.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/metrics.py
"""

import itertools
import json
import math
import warnings
from pathlib import Path

import numpy as np
import scipy
import sklearn
import torch
from scipy.special import logsumexp, softmax
from scipy.stats import pearsonr, spearmanr
from sklearn.calibration import calibration_curve
from sklearn.metrics import (accuracy_score, average_precision_score, balanced_accuracy_score, cohen_kappa_score,
                             confusion_matrix, f1_score, hamming_loss, label_ranking_average_precision_score,
                             matthews_corrcoef, mean_absolute_error, mean_squared_error,
                             precision_recall_fscore_support, precision_score, r2_score, recall_score, roc_auc_score,
                             root_mean_squared_error)
from torch.nn import functional as F

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "metrics.json"
rng = np.random.default_rng(20)


def logits(rows, width, decimals=3, scale=2.0):
    return np.round(rng.normal(0, scale, (rows, width)), decimals).astype(np.float32)


def single(name, x, y):
    seen = y != -100
    wide, labels = x[seen].astype(np.float64), y[seen]
    guess, classes = x.argmax(1)[seen], range(x.shape[1])
    loss = F.cross_entropy(torch.tensor(x, dtype=torch.float64), torch.tensor(y), ignore_index=-100)
    # One against the rest as scores that no probability near 1 runs together with; of two classes the second's.
    odds = np.stack([wide[:, k] - logsumexp(np.delete(wide, k, 1), axis=1) for k in classes], 1).astype(np.float32)
    is_label = labels[:, None] == np.array(classes)
    one_or_all = (is_label[:, 1], odds[:, 1]) if len(classes) == 2 else (is_label, odds)
    return case(name, "single_label_classification", x, y, {
        "loss": loss.item(),
        "accuracy": accuracy_score(labels, guess),
        "balanced_accuracy": balanced_accuracy_score(labels, guess),
        **averaged(labels, guess),
        "matthews_correlation": matthews_corrcoef(labels, guess),
        "cohen_kappa": cohen_kappa_score(labels, guess),
        "roc_auc": roc_auc_score(*one_or_all, average="macro"),
        "average_precision": average_precision_score(*one_or_all, average="macro"),
        "expected_calibration_error": calibration_error(softmax(wide, axis=1).max(1), guess == labels),
    }, {
        "per_class": per_class(labels, guess, classes),
        "confusion_matrix": confusion_matrix(labels, guess, labels=classes).tolist(),
    })


def multi(name, x, y):
    guess = (x > 0).astype(int)
    loss = F.binary_cross_entropy_with_logits(torch.tensor(x, dtype=torch.float64), torch.tensor(y, dtype=torch.float64))
    # Of one column scikit-learn would make two classes, "no" counting as well as "yes".
    only = {"labels": [1]} if x.shape[1] == 1 else {}
    return case(name, "multi_label_classification", x, y, {
        "loss": loss.item(),
        "subset_accuracy": accuracy_score(y, guess),
        "hamming_loss": hamming_loss(y, guess),
        **averaged(y, guess, **only),
        "label_ranking_average_precision": label_ranking_average_precision_score(y, x),
        "roc_auc": roc_auc_score(y, x, average="macro"),
        "average_precision": average_precision_score(y, x, average="macro"),
    }, {"per_class": per_class(y, guess, only.get("labels", range(x.shape[1])))})


def regression(name, x, y):
    wide_x, wide_y = x.astype(np.float64), y.astype(np.float64)
    columns = range(x.shape[1])
    enough = len(x) > 1
    return case(name, "regression", x, y, {
        "loss": F.mse_loss(torch.tensor(wide_x), torch.tensor(wide_y)).item(),
        "mse": mean_squared_error(wide_y, wide_x),
        "rmse": root_mean_squared_error(wide_y, wide_x),
        "mae": mean_absolute_error(wide_y, wide_x),
        "r2": r2_score(wide_y, wide_x),
        "pearson": np.mean([pearsonr(wide_x[:, i], wide_y[:, i]).statistic for i in columns]) if enough else math.nan,
        "spearman": np.mean([spearmanr(wide_x[:, i], wide_y[:, i]).statistic for i in columns]) if enough else math.nan,
    })


def averaged(labels, guess, /, **options):
    averages = itertools.product(("precision", "recall", "f1"), ("macro", "micro", "weighted"))
    scores = {"precision": precision_score, "recall": recall_score, "f1": f1_score}
    return {f"{name}_{average}": scores[name](labels, guess, average=average, zero_division=0, **options)
            for name, average in averages}


def per_class(labels, guess, classes):
    """Of each class: precision, recall, F1 and support."""
    scores = precision_recall_fscore_support(labels, guess, labels=list(classes), zero_division=0)
    return np.stack(scores, 1).tolist()


def calibration_error(confidence, right, bins=15):
    """Guo et al.'s, in the bins of scikit-learn's calibration_curve, which gives each bin's means but not its rows."""
    counts = np.bincount(np.searchsorted(np.linspace(0, 1, bins + 1)[1:-1], confidence), minlength=bins)
    accuracy, mean_confidence = calibration_curve(right, confidence, pos_label=True, n_bins=bins)
    return np.sum(counts[counts > 0] * np.abs(accuracy - mean_confidence)) / len(confidence)


def case(name, problem, x, y, expected, details=None):
    """Logits and labels as plain numbers; a value that is not defined as null. The details class by class."""
    plain = {key: None if math.isnan(value) else float(value) for key, value in expected.items()}
    return {"name": name, "problemType": problem, "width": x.shape[1], "logits": short(x), "labels": short(y),
            "expected": plain, "details": details}


def short(values):
    """The shortest decimals that read back as the same float32."""
    return [float(str(np.float32(value))) for value in np.ravel(values)]


def single_cases():
    y = rng.integers(0, 2, 200)
    yield single("two classes", logits(200, 2), y)
    yield single("seven classes", logits(211, 7), rng.integers(0, 7, 211))
    yield single("seven classes, one never seen", logits(60, 7) - np.eye(7, dtype=np.float32)[3] * 50, rng.choice([0, 1, 2, 4, 5, 6], 60))
    yield single("some rows without label", logits(90, 3), rng.choice([0, 1, 2, -100], 90))
    yield single("one class only, all right", logits(20, 2) * 0 + np.float32([1, 0]), np.zeros(20, int))
    yield single("one class only, all wrong", logits(20, 2) * 0 + np.float32([1, 0]), np.ones(20, int))
    yield single("ties go to the first class", logits(40, 3) * 0, rng.integers(0, 3, 40))
    yield single("rounded logits with ties", logits(150, 4, decimals=0), rng.integers(0, 4, 150))
    yield single("huge logits", logits(50, 3, scale=3e4), rng.integers(0, 3, 50))
    yield single("one row", logits(1, 2), np.array([1]))
    sure = logits(80, 3, decimals=0, scale=40)
    yield single("sure, right and wrong", sure, np.where(rng.random(80) < 0.7, sure.argmax(1), rng.integers(0, 3, 80)))
    yield single("all right", sure, sure.argmax(1))
    yield single("two of five classes, one never predicted", logits(40, 5) + np.float32([9, 0, 0, 0, 0]), rng.choice([0, 4], 40))
    yield single("two classes, ties", logits(70, 2, decimals=0, scale=1), rng.integers(0, 2, 70))
    yield single("predicted classes that no row has", logits(40, 4), rng.choice([1, 3], 40))
    # A third is the upper edge of a bin of confidence.
    even = rng.choice(np.float32([0, 0.125]), (60, 3))
    yield single("hardly sure", even, np.where(np.ptp(even, 1) > 0, even.argmax(1), 2))


def multi_cases():
    yield multi("random", logits(180, 5), rng.integers(0, 2, (180, 5)))
    yield multi("nothing labelled, nothing predicted", -np.abs(logits(12, 3)), np.zeros((12, 3), int))
    yield multi("nothing labelled, all predicted", np.abs(logits(12, 3)) + np.float32(1), np.zeros((12, 3), int))
    yield multi("logits of exactly 0", logits(40, 4, decimals=0), rng.integers(0, 2, (40, 4)))
    yield multi("huge logits", logits(40, 2, scale=3e4), rng.integers(0, 2, (40, 2)))
    yield multi("one label", logits(33, 1), rng.integers(0, 2, (33, 1)))
    yield multi("one label that no row has", logits(15, 1), np.zeros((15, 1), int))
    yield multi("all labels in all rows", logits(20, 3), np.ones((20, 3), int))
    yield multi("one of the labels in no row", logits(50, 4), rng.integers(0, 2, (50, 4)) * [1, 0, 1, 1])
    yield multi("few labels, ties", logits(60, 6, decimals=0), (rng.random((60, 6)) < 0.15).astype(int))
    yield multi("one row", logits(1, 3), np.array([[0, 1, 1]]))


def regression_cases():
    x = logits(200, 1)
    yield regression("random", x, np.round(x * 0.5 + logits(200, 1), 3).astype(np.float32))
    yield regression("ties on both sides", logits(150, 1, decimals=0), logits(150, 1, decimals=0))
    yield regression("three outputs", logits(80, 3), logits(80, 3))
    yield regression("constant predictions", np.full((30, 1), 0.25, np.float32), logits(30, 1))
    yield regression("constant targets", logits(30, 1), np.full((30, 1), 3, np.float32))
    yield regression("constant targets, met", np.full((9, 1), 0.1, np.float32), np.full((9, 1), 0.1, np.float32))
    yield regression("three outputs, one target constant", logits(25, 3), logits(25, 3) * np.float32([1, 0, 1]))
    yield regression("perfect", x, x)
    yield regression("perfectly wrong", x, -x)
    yield regression("two rows", logits(2, 1), logits(2, 1))
    yield regression("one row", logits(1, 1), logits(1, 1))
    yield regression("far from zero", logits(100, 1) + np.float32(1e4), logits(100, 1) - np.float32(1e4))


def main():
    warnings.simplefilter("ignore")
    versions = {"numpy": np.__version__, "scipy": scipy.__version__, "scikit-learn": sklearn.__version__,
                "torch": torch.__version__.split("+")[0]}
    cases = [*single_cases(), *multi_cases(), *regression_cases()]
    FIXTURE.write_text(json.dumps({"versions": versions, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
