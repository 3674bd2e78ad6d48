"""Writes test/fixtures/label-errors.json: cleanlab's label issues of random labels, for test/inspection/confident-learning.ts.

A model that is right more often than not gives probabilities; some of the labels are then replaced. Cases have few and many
classes, classes that no row has, classes of one row, and several labels a row.
"""

import json
import warnings
from pathlib import Path

import numpy as np
from cleanlab.count import compute_confident_joint, get_confident_thresholds
from cleanlab.filter import find_label_issues
from cleanlab.multilabel_classification.filter import find_label_issues as find_multi
from cleanlab.multilabel_classification.rank import get_label_quality_scores as multi_scores
from cleanlab.rank import get_label_quality_scores

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "label-errors.json"


def softmax(logits):
    powers = np.exp(logits - logits.max(axis=1, keepdims=True))
    return powers / powers.sum(axis=1, keepdims=True)


def shortened(values):
    """Seven digits, so that the file stays small; cleanlab gets the same."""
    return np.vectorize(lambda value: float(f"{value:.7g}"))(values)


def single(seed, rows, classes, *, noise, skill, used=None, weights=None):
    random = np.random.default_rng(seed)
    used = list(range(classes)) if used is None else used
    true = random.choice(used, rows, p=weights)
    labels = true.copy()
    wrong = random.random(rows) < noise
    labels[wrong] = random.choice(used, wrong.sum())
    logits = random.normal(size=(rows, classes))
    logits[np.arange(rows), true] += skill
    p = shortened(softmax(logits))
    return {
        "numLabels": classes,
        "labels": labels.tolist(),
        "probabilities": p.flatten().tolist(),
        "thresholds": get_confident_thresholds(labels, p).tolist(),
        "joint": compute_confident_joint(labels, p).tolist(),
        "issues": find_label_issues(labels, p, return_indices_ranked_by="self_confidence", n_jobs=1).tolist(),
        "scores": get_label_quality_scores(labels, p, method="self_confidence").tolist(),
    }


def multi(seed, rows, classes, *, noise, skill, rates):
    random = np.random.default_rng(seed)
    true = random.random((rows, classes)) < rates
    hot = true ^ ((random.random((rows, classes)) < noise) & (np.array(rates) > 0) & (np.array(rates) < 1))
    logits = random.normal(size=(rows, classes)) + skill * (2 * true - 1)
    p = shortened(1 / (1 + np.exp(-logits)))
    labels = [np.flatnonzero(row).tolist() for row in hot]
    return {
        "numLabels": classes,
        "labels": labels,
        "probabilities": p.flatten().tolist(),
        "issues": find_multi(labels, p, return_indices_ranked_by="self_confidence", n_jobs=1).tolist(),
        "scores": multi_scores(labels, p, method="self_confidence").tolist(),
    }


def main():
    warnings.filterwarnings("ignore", message="May not flag all label issues")
    skewed = [0.7, 0.15, 0.1, 0.03, 0.02]
    cases = [
        single(1, 150, 2, noise=0.1, skill=2.0),
        single(2, 200, 3, noise=0.2, skill=1.5),
        single(3, 200, 5, noise=0.15, skill=2.0, weights=skewed),
        single(4, 150, 6, noise=0.2, skill=2.5, used=[0, 2, 5]),
        single(5, 90, 30, noise=0.2, skill=4.0),
        single(6, 100, 4, noise=0.0, skill=6.0),
        single(7, 60, 3, noise=0.5, skill=0.5),
        single(8, 12, 4, noise=0.3, skill=3.0),
    ]
    several = [
        multi(1, 150, 3, noise=0.1, skill=1.5, rates=[0.5, 0.3, 0.1]),
        multi(2, 80, 6, noise=0.1, skill=2.0, rates=[0.5, 0.2, 0.0, 0.9, 0.05, 0.3]),
    ]
    FIXTURE.write_text(json.dumps({"single": cases, "multi": several}, separators=(",", ":")) + "\n")
    print([(len(c["issues"]), len(c["labels"])) for c in cases + several])


if __name__ == "__main__":
    main()
