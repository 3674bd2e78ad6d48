#!/usr/bin/env bash
# Guess: a ModernBERT in float64 with eager attention is the reference for the same model in float32, as with the other encoders.
# Seen, transformers 5.18.0 with torch 2.13.0: the shorter text of a padded batch gets NaN for logits, in float64 alone. The softmax is
# computed in float32, where float64's lowest number, which hides keys, is infinite; of padding a window may hide all keys.
# Queries and keys are turned in float32 too. With attn_implementation="sdpa" no logit is NaN.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 torch==2.13.0
venv/bin/python - <<'PY'
import torch
from transformers import AutoConfig, AutoModelForSequenceClassification

torch.manual_seed(0)
config = AutoConfig.for_model(
    "modernbert", vocab_size=100, hidden_size=16, num_hidden_layers=3, num_attention_heads=2, intermediate_size=24,
    local_attention=8, pad_token_id=0, bos_token_id=1, eos_token_id=2, cls_token_id=1, sep_token_id=2,
)
ids, mask = torch.randint(3, 100, (2, 30)), torch.ones(2, 30, dtype=torch.long)
ids[1, 5:] = mask[1, 5:] = 0
found = {}
for attention in ("eager", "sdpa"):
    for dtype in (torch.float32, torch.float64):
        model = AutoModelForSequenceClassification.from_config(config, attn_implementation=attention).to(dtype).eval()
        with torch.no_grad():
            logits = model(input_ids=ids, attention_mask=mask).logits
        found[attention, str(dtype)] = logits.isnan().any(1).tolist()
print(found)
assert found.pop(("eager", "torch.float64")) == [False, True]
assert all(each == [False, False] for each in found.values())
PY
