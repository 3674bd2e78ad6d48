#!/usr/bin/env bash
# Guess: in named_parameters() of a masked language model the table of the word embeddings, which the decoder shares, has its name
# within the encoder, so that `name.startswith("roberta.embeddings")` finds it in RoBERTa, XLM-RoBERTa and CamemBERT alike.
# Seen, transformers 5.18.0 with torch 2.13.0: so in BERT, RoBERTa and MPNet; in XLM-RoBERTa and CamemBERT it is lm_head.decoder.weight, since
# there the head comes before the encoder. A freeze by the prefix leaves the table trained. In the saved file it has the encoder's name.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q transformers==5.18.0 torch==2.13.0 safetensors
venv/bin/python - <<'PY'
import torch, transformers
from safetensors import safe_open
from transformers import AutoConfig, AutoModelForMaskedLM

print("transformers", transformers.__version__, "torch", torch.__version__)
sizes = {"vocab_size": 20, "hidden_size": 8, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 8}
seen, saved = {}, {}
for kind in ("bert", "roberta", "xlm-roberta", "camembert", "mpnet"):
    model = AutoModelForMaskedLM.from_config(AutoConfig.for_model(kind, **sizes))
    table = model.get_input_embeddings().weight
    seen[kind] = [name for name, parameter in model.named_parameters() if parameter is table]
    model.save_pretrained(kind)
    with safe_open(f"{kind}/model.safetensors", "pt") as file:
        saved[kind] = [name for name in file.keys() if name.endswith(("word_embeddings.weight", "decoder.weight"))]
print(seen, saved)
within = {"bert": "bert", "roberta": "roberta", "xlm-roberta": "roberta", "camembert": "roberta", "mpnet": "mpnet"}
assert saved == {kind: [f"{prefix}.embeddings.word_embeddings.weight"] for kind, prefix in within.items()}
for kind in ("bert", "roberta", "mpnet"):
    assert seen[kind] == saved[kind]
assert seen["xlm-roberta"] == seen["camembert"] == ["lm_head.decoder.weight"]
PY
