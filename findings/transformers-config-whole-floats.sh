#!/usr/bin/env bash
# Guess: a config.json may give a float field as a whole number, as JSON writers outside Python do (JSON.stringify(2.0) is "2").
# Seen, transformers 5.18.0: the file does not load: "Field 'initializer_cutoff_factor' expected float, got int (value: 2)".
# Dropout probabilities are exempt: 0 is taken for 0.0. Whoever writes config.json for Python must write 2.0.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0
venv/bin/python - <<'PY'
import json, pathlib, transformers
from transformers import AutoConfig

def load(**fields):
    folder = pathlib.Path("-".join(fields))
    folder.mkdir(exist_ok=True)
    (folder / "config.json").write_text(json.dumps(fields))
    try:
        AutoConfig.from_pretrained(folder)
        return "loads"
    except Exception as error:
        return " ".join(str(error).split())

print("transformers", transformers.__version__)
whole = load(model_type="modernbert", initializer_cutoff_factor=2)
decimal = load(model_type="modernbert", initializer_cutoff_factor=2.0)
dropout = load(model_type="bert", hidden_dropout_prob=0)
print("initializer_cutoff_factor 2:  ", whole)
print("initializer_cutoff_factor 2.0:", decimal)
print("hidden_dropout_prob 0:        ", dropout)
assert "expected float, got int (value: 2)" in whole
assert decimal == "loads" and dropout == "loads"
PY
