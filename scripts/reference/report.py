"""Writes test/fixtures/report.json: precision and recall at thresholds, as scikit-learn has them, of logits drawn at random."""

import json
from pathlib import Path

import numpy as np
from sklearn.calibration import calibration_curve
from sklearn.metrics import precision_score, recall_score

rng = np.random.default_rng(7)
rows, classes = 120, 3
labels = rng.integers(0, classes, rows)
logits = (rng.normal(size=(rows, classes)) * 1.5 + 2 * np.eye(classes)[labels]).astype(np.float32)
powers = np.exp(logits.astype(np.float64) - logits.max(axis=1, keepdims=True))
probabilities = powers / powers.sum(axis=1, keepdims=True)
thresholds = [0.02, 0.1, 0.25, 0.5, 0.6, 0.75, 0.9, 0.97]


def scores(gold, given, threshold):
    predicted = given >= threshold
    return [float(recall_score(gold, predicted)), float(precision_score(gold, predicted, zero_division=0))]


flags = (rng.random((rows, classes)) < 0.4).astype(np.float32)
flag_logits = (rng.normal(size=(rows, classes)) + 3 * flags - 1.5).astype(np.float32)
flag_probabilities = 1 / (1 + np.exp(-flag_logits.astype(np.float64)))

confidence = probabilities.max(axis=1)
right = probabilities.argmax(axis=1) == labels
true_share, mean_confidence = calibration_curve(right, confidence, n_bins=15)

fixture = {
    "thresholds": thresholds,
    "single": {
        "labels": labels.tolist(),
        "logits": logits.reshape(-1).tolist(),
        "curves": [[scores(labels == c, probabilities[:, c], t) for t in thresholds] for c in range(classes)],
        "calibration": {"right": true_share.tolist(), "confidence": mean_confidence.tolist()},
    },
    "several": {
        "labels": flags.reshape(-1).tolist(),
        "logits": flag_logits.reshape(-1).tolist(),
        "curves": [[scores(flags[:, c] == 1, flag_probabilities[:, c], t) for t in thresholds] for c in range(classes)],
    },
}
path = Path(__file__).parents[2] / "test/fixtures/report.json"
path.write_text(json.dumps(fixture) + "\n")
