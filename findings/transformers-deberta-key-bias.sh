#!/usr/bin/env bash
# Guess: the bias of the keys gets no gradient, since it adds the same to all scores of a query, which softmax does not see; so a
# comparison of trained weights may leave it out, or a model do without it.
# Seen, transformers 5.18.0: true of BERT (2e-18 beside 1e-2 of the query's), wrong of DeBERTa-v3's shape, whose keys also meet the queries
# of distances (p2c): there it is a fifth of the query's.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0
venv/bin/pip install -q transformers==5.18.0
venv/bin/python - <<'PY'
import torch
import transformers
from transformers import AutoConfig, AutoModelForSequenceClassification

sizes = {"vocab_size": 50, "hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 16}
dropouts = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
v3 = {"relative_attention": True, "position_buckets": 8, "share_att_key": True, "norm_rel_ebd": "layer_norm",
      "pos_att_type": ["c2p", "p2c"], "position_biased_input": False}


def gradients(kind, keys, names):
    torch.manual_seed(0)
    config = AutoConfig.for_model(kind, **sizes, **dropouts, **keys)
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").double()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.normal_(std=0.3)
    model(torch.arange(5, 17)[None], labels=torch.tensor([1])).loss.backward()
    found = {name: parameter.grad.norm().item() for name, parameter in model.named_parameters()}
    return [next(v for n, v in found.items() if n.endswith(f"attention.self.{name}.bias")) for name in names]


bert = gradients("bert", {}, ["key", "query"])
deberta = gradients("deberta-v2", v3, ["key_proj", "query_proj"])
print("transformers", transformers.__version__, "bert", bert, "deberta", deberta)
assert bert[0] < 1e-10 * bert[1]
assert deberta[0] > 1e-2 * deberta[1]
PY
