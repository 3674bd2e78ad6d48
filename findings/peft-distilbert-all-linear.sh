#!/usr/bin/env bash
# Guess: target_modules="all-linear" adapts the linear layers of every encoder with a classification head.
# Seen, peft 0.21.2 with transformers 5.18.0: BERT works; DistilBERT raises, since its pre_classifier ends in "classifier" and
# is both saved as a whole (modules_to_save of SEQ_CLS) and adapted.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0
venv/bin/pip install -q transformers==5.18.0 peft==0.21.2
venv/bin/python - <<'PY'
import peft, transformers
from peft import LoraConfig, get_peft_model
from transformers import BertConfig, BertForSequenceClassification, DistilBertConfig, DistilBertForSequenceClassification

print("peft", peft.__version__, "transformers", transformers.__version__)

def adapt(model):
    try:
        adapted = get_peft_model(model, LoraConfig(task_type="SEQ_CLS", target_modules="all-linear"))
        return f"{sum('lora_A' in name for name, _ in adapted.named_parameters())} adapters"
    except Exception as error:
        return f"{type(error).__name__}: {error}"

bert = adapt(BertForSequenceClassification(BertConfig(
    vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16)))
distilbert = adapt(DistilBertForSequenceClassification(DistilBertConfig(
    vocab_size=50, dim=8, n_layers=1, n_heads=2, hidden_dim=16, max_position_embeddings=16)))
print("BERT:      ", bert)
print("DistilBERT:", distilbert)
assert bert == "7 adapters"
assert "modules_to_save cannot be applied to modules of type" in distilbert
PY
