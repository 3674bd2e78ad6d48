#!/usr/bin/env bash
# Guess: in multi-label data a label that every row has is as good as one that no row has: neither can be wrong by comparison.
# Seen, cleanlab 2.9.0: multilabel_classification.filter.find_label_issues takes a label of no row, and raises "Labels must contain
# at least 2 classes." for a label of every row, whatever the other labels are.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q cleanlab==2.9.0 numpy==2.4.6
venv/bin/python - <<'PY'
import warnings
import cleanlab, numpy as np
from cleanlab.multilabel_classification.filter import find_label_issues

warnings.filterwarnings("ignore")
print("cleanlab", cleanlab.__version__)
p = np.random.default_rng(0).random((20, 3))
some = [[row % 2] for row in range(20)]  # label 2 is that of no row
print("of no row:", find_label_issues(some, p, n_jobs=1).sum(), "issues")
try:
    find_label_issues([labels + [2] for labels in some], p, n_jobs=1)
    raise SystemExit("a label of every row is taken now")
except ValueError as error:
    print("of every row:", error)
    assert "at least 2 classes" in str(error)
PY
