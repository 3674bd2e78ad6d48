#!/usr/bin/env bash
# Guess: a JSON Lines file with the labels 5.0 and 4.0 has float labels in Python, whichever loader reads it.
# Seen: datasets 5.2.0 reads float64, which run_classification takes for regression; pandas 3.1.1 read_json(lines=True) reads
# int64, which is classes. The same labels in CSV are float64 in both.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q datasets==5.2.0 pandas==3.1.1
export HF_HOME="$PWD/cache" HF_HUB_OFFLINE=1
venv/bin/python - <<'PY'
from pathlib import Path
import datasets, pandas

print("datasets", datasets.__version__, "pandas", pandas.__version__)
Path("a.jsonl").write_text('{"text": "a", "label": 5.0}\n{"text": "b", "label": 4.0}\n')
Path("a.csv").write_text("text,label\na,5.0\nb,4.0\n")
seen = {
    "datasets json": datasets.load_dataset("json", data_files="a.jsonl", split="train").features["label"].dtype,
    "pandas json": str(pandas.read_json("a.jsonl", lines=True)["label"].dtype),
    "datasets csv": datasets.load_dataset("csv", data_files="a.csv", split="train").features["label"].dtype,
    "pandas csv": str(pandas.read_csv("a.csv")["label"].dtype),
}
print(seen)
assert seen == {"datasets json": "float64", "pandas json": "int64", "datasets csv": "float64", "pandas csv": "float64"}
PY
