#!/usr/bin/env bash
# Guess: DebertaV2ForMaskedLM with legacy=False, whose head has the names of the published DeBERTa-v3 files (lm_predictions.lm_head.*),
# loads what it has saved, as with legacy=True.
# Seen, transformers 5.18.0 with torch 2.13.0: from_config and save_pretrained work, and from_pretrained of that folder raises
# AttributeError: DebertaV2LMPredictionHead has no attribute `weight`, which _tied_weights_keys names. With legacy=True it loads.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 torch==2.13.0
venv/bin/python - <<'PY'
import torch, transformers
from transformers import AutoModelForMaskedLM, DebertaV2Config

print("transformers", transformers.__version__, "torch", torch.__version__)
sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
seen = {}
for legacy in (True, False):
    folder = f"legacy-{legacy}"
    AutoModelForMaskedLM.from_config(DebertaV2Config(**sizes, legacy=legacy)).save_pretrained(folder)
    try:
        AutoModelForMaskedLM.from_pretrained(folder)
        seen[legacy] = "loads"
    except AttributeError as error:
        seen[legacy] = str(error)
print(seen)
assert seen[True] == "loads"
assert seen[False] == "DebertaV2LMPredictionHead has no attribute `weight`"
PY
