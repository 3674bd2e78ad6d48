"""Writes test/fixtures/tuning.json: the best F1 thresholds by trying all, with scikit-learn, and the best temperature by
scipy.

    python scripts/reference/tuning.py

Thresholds: every cut between neighbouring probabilities, halfway between the two (below the smallest, halfway to 0); a
label is given above the threshold; of several with the same F1 the lowest; 0.5 for a label that no row has.
"""

import json
from pathlib import Path

import numpy as np
from scipy.optimize import brentq
from scipy.special import expit, logsumexp, softmax
from sklearn.metrics import accuracy_score, f1_score, hamming_loss

from metrics import averaged, calibration_error, per_class

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "tuning.json"


def best_threshold(probabilities: np.ndarray, truths: np.ndarray) -> float:
    if not truths.any():
        return 0.5
    values = np.unique(probabilities)
    cuts = np.concatenate([[values[0] / 2], (values[:-1] + values[1:]) / 2])
    scores = [f1_score(truths, probabilities > cut) for cut in cuts]
    return float(cuts[int(np.argmax(scores))])  # argmax takes the first


def threshold_case(name: str, logits: np.ndarray, truths: np.ndarray) -> dict:
    probabilities = expit(logits.astype(np.float64))
    overall = best_threshold(probabilities.ravel(), truths.ravel())
    own = [best_threshold(probabilities[:, i], truths[:, i]) for i in range(truths.shape[1])]
    micro = lambda cut: f1_score(truths.ravel(), (probabilities > cut).ravel(), zero_division=0)
    return {
        "name": name,
        "logits": logits.tolist(),
        "labels": truths.astype(int).tolist(),
        "global": overall,
        "per_label": own,
        "before": micro(0.5),
        "after_global": micro(overall),
        "after_per_label": micro(np.array(own)),
        "tuned": tuned_metrics(truths.astype(int), (probabilities > np.array(own)).astype(int)),
    }


def tuned_metrics(labels: np.ndarray, guess: np.ndarray) -> dict:
    # Of one column scikit-learn would make two classes, "no" counting as well as "yes".
    only = {"labels": [1]} if labels.shape[1] == 1 else {}
    return {
        "subset_accuracy": accuracy_score(labels, guess),
        "hamming_loss": hamming_loss(labels, guess),
        **averaged(labels, guess, **only),
        "per_class": per_class(labels, guess, only.get("labels", range(labels.shape[1]))),
    }


def temperature_case(name: str, logits: np.ndarray, labels: np.ndarray) -> dict:
    x = logits.astype(np.float64)
    single = labels.ndim == 1
    known = labels >= 0 if single else slice(None)

    def loss(scale: float) -> float:
        z = x[known] * scale
        if single:
            return float(np.mean(logsumexp(z, axis=1) - z[np.arange(len(z)), labels[known]]))
        return float(np.mean(np.logaddexp(0, z) - z * labels))

    def slope(scale: float) -> float:
        z = x[known] * scale
        if single:
            own = x[known]
            return float(np.sum((softmax(z, axis=1) * own).sum(axis=1) - own[np.arange(len(z)), labels[known]]))
        return float(np.sum((expit(z) - labels) * x))

    found = slope(1e-4) < 0 < slope(1e4)
    scale = brentq(slope, 1e-4, 1e4, xtol=1e-14, rtol=1e-14, maxiter=1000) if found else None

    def error() -> float:
        probabilities = softmax(x[known] * scale, axis=1)
        return calibration_error(probabilities.max(1), probabilities.argmax(1) == labels[known])

    return {
        "name": name,
        "logits": logits.tolist(),
        "labels": labels.tolist(),
        "temperature": None if scale is None else 1 / scale,
        "before": loss(1),
        "after": None if scale is None else loss(scale),
        "error": error() if found and single else None,
    }


def main() -> None:
    random = np.random.default_rng(7)
    multi = []
    for name, rows, width, sharpness in [("weak", 40, 3, 0.7), ("strong", 30, 5, 3.0), ("one label", 25, 1, 1.0)]:
        truths = random.random((rows, width)) < 0.3
        logits = (sharpness * (truths - 0.6) + random.normal(size=(rows, width))).round(2).astype(np.float32)
        multi.append((name, logits, truths))
    ties = np.array([[0.0, 1.0], [0.0, 1.0], [0.5, 1.0], [0.5, -2.0], [-1.0, 1.0]], dtype=np.float32)
    multi.append(("equal probabilities", ties, np.array([[1, 0], [0, 0], [1, 1], [0, 0], [0, 1]]) > 0))
    multi.append(("a label that no row has", ties, np.array([[1, 0], [0, 0], [1, 0], [0, 0], [0, 0]]) > 0))
    multi.append(("every row has it", ties, np.ones((5, 2)) > 0))
    far = np.array([[40.0], [41.0], [60.0], [-90.0], [39.0], [36.0]], dtype=np.float32)
    multi.append(("saturated", far, np.array([[1], [1], [1], [0], [1], [0]]) > 0))

    single = []
    for name, rows, classes, sharpness in [("too sure", 60, 4, 6.0), ("too modest", 60, 3, 0.5)]:
        labels = random.integers(classes, size=rows)
        logits = random.normal(size=(rows, classes))
        logits[np.arange(rows), labels] += 1.5
        single.append((name, (sharpness * logits).round(3).astype(np.float32), labels))
    labels = single[0][2].copy()
    labels[::5] = -100
    single.append(("rows without label", single[0][1], labels))
    single.append(("large logits", single[0][1] * np.float32(100), single[0][2]))
    right = np.eye(3, dtype=np.float32)
    single.append(("all right", right, np.arange(3)))
    single.append(("worse than chance", right, np.array([1, 2, 0])))
    single.append(("constant", np.ones((3, 3), dtype=np.float32), np.arange(3)))
    fixture = {
        "thresholds": [threshold_case(*case) for case in multi],
        "temperature": [temperature_case(*case) for case in single]
        + [temperature_case(name, 3 * logits, truths.astype(int)) for name, logits, truths in multi[:3]],
    }
    FIXTURE.write_text(f"{json.dumps(fixture, separators=(',', ':'))}\n")


if __name__ == "__main__":
    main()
