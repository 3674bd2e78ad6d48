#!/usr/bin/env python3
"""Writes test/fixtures/hold-out.json: how many rows of each class scikit-learn's stratified train_test_split sets
aside, and how many its StratifiedKFold puts into each fold.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/hold_out.py
"""

import json
from collections import Counter
from pathlib import Path

import sklearn
from sklearn.model_selection import StratifiedKFold, train_test_split

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "hold-out.json"
# Rows of each class; shares of which no two are cut alike, since scikit-learn decides ties at random.
CASES = [
    ([50, 50], 0.1),
    ([90, 10], 0.2),
    ([97, 31, 12], 0.25),
    ([1000, 333, 101, 17], 0.1),
    ([5, 4], 0.33),
    ([86, 1250, 1162, 1223, 896, 835], 0.1),
]


def main():
    cases = []
    for sizes, share in CASES:
        labels = [label for label, size in enumerate(sizes) for _ in range(size)]
        _, aside = train_test_split(labels, test_size=share, stratify=labels, random_state=0)
        counts = Counter(aside)
        cases.append({"sizes": sizes, "share": share, "aside": [counts[label] for label in range(len(sizes))]})
    folds = []
    for sizes, k in [([50, 50], 5), ([97, 31, 12], 4), ([5, 4], 3), ([333, 1000, 17], 10)]:
        labels = [label for label, size in enumerate(sizes) for _ in range(size)]
        parts = StratifiedKFold(k).split(labels, labels)
        counts = [Counter(labels[row] for row in part) for _, part in parts]
        folds.append({"sizes": sizes, "k": k, "counts": [[c[label] for label in range(len(sizes))] for c in counts]})
    fixture = {"versions": {"scikit-learn": sklearn.__version__}, "cases": cases, "folds": folds}
    FIXTURE.write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
