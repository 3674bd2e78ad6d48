#!/usr/bin/env bash
# Guess: the same rows in one optimizer step give Trainer the same loss and gradient norm, whether in one batch or accumulated.
# Seen, transformers 5.18.0 with torch 2.13.0: for BertForSequenceClassification both are k times as large with
# gradient_accumulation_steps=k, as the model accepts **kwargs and its loss does not use num_items_in_batch.
# With model.accepts_loss_kwargs = False they agree.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q torch==2.13.0
venv/bin/pip install -q transformers==5.18.0 accelerate==1.15.0
venv/bin/python - <<'PY'
import tempfile, torch, transformers
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments

print("transformers", transformers.__version__, "torch", torch.__version__)
size = dict(vocab_size=65, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64)
no_dropout = dict(hidden_dropout_prob=0.0, attention_probs_dropout_prob=0.0)
ids = torch.randint(5, 65, (8, 12), generator=torch.Generator().manual_seed(0))
rows = [{"input_ids": row, "labels": i % 2} for i, row in enumerate(ids)]

def first_step(k, **attributes):
    torch.manual_seed(0)
    model = BertForSequenceClassification(BertConfig(**size, **no_dropout))
    for name, value in attributes.items():
        setattr(model, name, value)
    args = TrainingArguments(
        output_dir=tempfile.mkdtemp(), per_device_train_batch_size=8 // k, gradient_accumulation_steps=k, max_steps=1,
        logging_steps=1, use_cpu=True, report_to="none", train_sampling_strategy="sequential", disable_tqdm=True, save_strategy="no",
    )
    trainer = Trainer(model=model, args=args, train_dataset=rows)
    trainer.train()
    return trainer.state.log_history[0]["loss"], trainer.state.log_history[0]["grad_norm"]

loss, norm = first_step(1)
for k in (1, 2, 4):
    seen, corrected = first_step(k), first_step(k, accepts_loss_kwargs=False)
    print("k =", k, "loss and norm", seen, "with accepts_loss_kwargs = False", corrected)
    for ours, one in zip(seen, (loss, norm)):
        assert abs(ours / one - k) < 1e-3 * k
    for ours, one in zip(corrected, (loss, norm)):
        assert abs(ours / one - 1) < 1e-3
PY
