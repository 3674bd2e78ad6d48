#!/usr/bin/env bash
# Guess: in MPNet, as in RoBERTa, positions begin behind pad_token_id, and relative_attention_num_buckets says how many buckets
# distances fall into.
# Seen, transformers 5.18.0: both are numbers in the code. padding_idx is 1 whatever the config says, so that positions begin at 2, where
# RoBERTa's with pad_token_id 5 begin at 6. Of a table of 64 buckets 32 are ever read; one of 16 raises IndexError.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0
venv/bin/pip install -q transformers==5.18.0
venv/bin/python - <<'PY'
import torch, transformers
from transformers import MPNetConfig, MPNetModel, RobertaConfig, RobertaModel

print("transformers", transformers.__version__)
size = dict(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=320)

def first_position(model):
    seen = []
    table = model.embeddings.position_embeddings
    table.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0].flatten().tolist()))
    model(torch.tensor([[7, 8, 9]]))
    return seen[0][0]

mpnet = first_position(MPNetModel(MPNetConfig(**size, pad_token_id=5)))
roberta = first_position(RobertaModel(RobertaConfig(**size, pad_token_id=5)))
print("first position with pad_token_id 5: MPNet", mpnet, "RoBERTa", roberta)
assert (mpnet, roberta) == (2, 6)

model = MPNetModel(MPNetConfig(**size, relative_attention_num_buckets=64))
model(torch.full((1, 300), 7)).last_hidden_state.square().sum().backward()
rows = model.encoder.relative_attention_bias.weight.grad.abs().sum(1)
print("rows of 64 with a gradient after 300 tokens:", int((rows > 0).sum()), "the last one", int(rows.nonzero().max()))
assert int(rows.nonzero().max()) == 31

try:
    MPNetModel(MPNetConfig(**size, relative_attention_num_buckets=16))(torch.full((1, 3), 7))
except IndexError as error:
    print("16 buckets: IndexError:", error)
else:
    raise AssertionError("16 buckets work")
PY
