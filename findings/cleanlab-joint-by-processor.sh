#!/usr/bin/env bash
# Guess: cleanlab's confident joint, and so the label issues, follow from labels and probabilities alone.
# Seen, cleanlab 2.9.0 with numpy 2.4.6: where two counts of a row round alike, the one that is moved to keep the sum is chosen by
# numpy's argsort, whose order of equal values depends on the instruction set. With AVX-512 or AVX2 switched off for numpy some
# joints and lists of issues of the same random data are others. (Needs a processor with AVX2.)
set -euo pipefail
grep -q avx2 /proc/cpuinfo || { echo "no AVX2 here: nothing to compare"; exit 0; }
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q cleanlab==2.9.0 numpy==2.4.6
cat > joints.py <<'PY'
import json, sys, warnings
import cleanlab, numpy as np
from cleanlab.count import compute_confident_joint
from cleanlab.filter import find_label_issues

warnings.filterwarnings("ignore")
print("cleanlab", cleanlab.__version__, "numpy", np.__version__, file=sys.stderr)
found = []
for seed in range(60):
    random = np.random.default_rng(seed)
    labels = random.integers(0, 8, 120)
    logits = random.normal(size=(120, 8))
    logits[np.arange(120), labels] += 1.5
    p = np.exp(logits)
    p /= p.sum(axis=1, keepdims=True)
    issues = find_label_issues(labels, p, return_indices_ranked_by="self_confidence", n_jobs=1)
    found.append([compute_confident_joint(labels, p).tolist(), issues.tolist()])
print(json.dumps(found))
PY
venv/bin/python joints.py > here.json
NPY_DISABLE_CPU_FEATURES="AVX512F AVX512CD AVX512_SKX AVX512_CLX AVX512_CNL AVX512_ICL AVX512_SPR AVX2 FMA3 X86_V3 X86_V4" \
  venv/bin/python -W ignore joints.py > without.json
venv/bin/python - <<'PY'
import json
pairs = list(zip(json.load(open("here.json")), json.load(open("without.json"))))
joints, issues = (sum(a[i] != b[i] for a, b in pairs) for i in (0, 1))
print(f"of {len(pairs)} data sets: {joints} other joints, {issues} other issues")
assert joints > 0 and issues > 0
PY
