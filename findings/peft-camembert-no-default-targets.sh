#!/usr/bin/env bash
# Guess: LoRA without target_modules works for CamemBERT as for RoBERTa and XLM-RoBERTa, whose layers have the same names.
# Seen, peft 0.21.2 with transformers 5.18.0: roberta and xlm-roberta get query and value; camembert raises
# "Please specify `target_modules` ...".
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0
venv/bin/pip install -q transformers==5.18.0 peft==0.21.2
venv/bin/python - <<'PY'
import peft, transformers
from peft import LoraConfig, get_peft_model

print("peft", peft.__version__, "transformers", transformers.__version__)
size = dict(vocab_size=50, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16, max_position_embeddings=16)

def targets(name):
    config = getattr(transformers, f"{name}Config")(**size)
    model = getattr(transformers, f"{name}ForSequenceClassification")(config)
    try:
        return sorted(get_peft_model(model, LoraConfig(task_type="SEQ_CLS")).peft_config["default"].target_modules)
    except ValueError as error:
        return f"ValueError: {error}"

seen = {name: targets(name) for name in ("Roberta", "XLMRoberta", "Camembert")}
for name, found in seen.items():
    print(name, found)
assert seen["Roberta"] == seen["XLMRoberta"] == ["query", "value"]
assert seen["Camembert"].startswith("ValueError: Please specify `target_modules`")
PY
