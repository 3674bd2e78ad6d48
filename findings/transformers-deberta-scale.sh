#!/usr/bin/env bash
# Guess: in a DeBERTa-v2 without relative attention (relative_attention false, the class's default) pos_att_type is of no account.
# Seen, transformers 5.18.0: the scores are divided by sqrt(head size * (1 + parts named in pos_att_type)) all the same, so that the same
# tensors give other logits with pos_att_type ["c2p", "p2c"] than with null: those of queries that are sqrt(3) times smaller.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0
venv/bin/pip install -q transformers==5.18.0
venv/bin/python - <<'PY'
import copy

import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification

sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}


def model(parts):
    config = AutoConfig.for_model("deberta-v2", **sizes, relative_attention=False, pos_att_type=parts)
    return AutoModelForSequenceClassification.from_config(config).double().eval()


torch.manual_seed(0)
plain, named = model(None), model(["c2p", "p2c"])
with torch.no_grad():
    for parameter in plain.parameters():
        parameter.normal_()
    named.load_state_dict(plain.state_dict())
    smaller = copy.deepcopy(plain)
    query = smaller.deberta.encoder.layer[0].attention.self.query_proj
    query.weight /= 3**0.5
    query.bias /= 3**0.5
    ids = torch.arange(5, 17)[None]
    logits = {name: each(ids).logits for name, each in (("plain", plain), ("named", named), ("smaller", smaller))}
print("transformers", transformers.__version__, logits)
assert (logits["named"] - logits["plain"]).abs().max() > 1e-2
assert (logits["named"] - logits["smaller"]).abs().max() < 1e-6
PY
