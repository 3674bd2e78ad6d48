#!/usr/bin/env bash
# Guess: a YAML configuration with `learning_rate: 5e-5` gives TrainingArguments the number 5e-5, as the same words do in
# JSON (HfArgumentParser.parse_json_file) and on the command line.
# Seen, transformers 5.18.0 with PyYAML 6.0.4: parse_yaml_file raises nothing and leaves the text '5e-5', since PyYAML reads
# YAML 1.1, where a number with an exponent needs a point and a sign; torch.optim.AdamW then raises a TypeError.
# `5.0e-5` is a number for both.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0
venv/bin/pip install -q transformers==5.18.0 accelerate==1.15.0 pyyaml==6.0.4
venv/bin/python - <<'PY'
import json, torch, transformers, yaml
from transformers import HfArgumentParser, TrainingArguments

print("transformers", transformers.__version__, "PyYAML", yaml.__version__)
parser = HfArgumentParser(TrainingArguments)

def from_yaml(rate):
    with open("run.yaml", "w") as file:
        file.write(f"output_dir: out\nlearning_rate: {rate}\n")
    return parser.parse_yaml_file("run.yaml")[0].learning_rate

with open("run.json", "w") as file:
    file.write('{"output_dir": "out", "learning_rate": 5e-5}')
seen = {
    "JSON 5e-5": parser.parse_json_file("run.json")[0].learning_rate,
    "flag 5e-5": parser.parse_args_into_dataclasses(["--output_dir", "out", "--learning_rate", "5e-5"])[0].learning_rate,
    "YAML 5e-5": from_yaml("5e-5"),
    "YAML 5.0e-5": from_yaml("5.0e-5"),
}
for name, value in seen.items():
    print(name, repr(value))
try:
    torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=seen["YAML 5e-5"])
    outcome = "accepted"
except TypeError as error:
    outcome = f"TypeError: {error}"
print("AdamW:", outcome)
assert seen["JSON 5e-5"] == seen["flag 5e-5"] == seen["YAML 5.0e-5"] == 5e-5
assert seen["YAML 5e-5"] == "5e-5"
assert outcome.startswith("TypeError")
PY
