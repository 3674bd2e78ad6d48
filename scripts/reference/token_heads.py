"""Writes test/fixtures/token-heads.json: logits, loss and gradients of each family's classifier of tokens in transformers.

    python scripts/reference/token_heads.py

The encoders are those of test/fixtures/families; the classifier, which is new there, has the weights of a formula.
"""

import json
from pathlib import Path

import numpy as np
import torch
from families import FAMILIES, FIXTURES, all_batches, inputs_of
from parity import digested, plain
from transformers import AutoModelForTokenClassification

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "token-heads.json"
LABELS = ["O", "B-PER", "I-PER", "B-LOC", "I-LOC"]


def load(family, dtype):
    names = {"id2label": dict(enumerate(LABELS)), "label2id": {name: i for i, name in enumerate(LABELS)}}
    folder = FIXTURES / family / "model"
    options = {"dtype": dtype, "attn_implementation": "eager", "ignore_mismatched_sizes": True, "num_labels": len(LABELS)}
    model = AutoModelForTokenClassification.from_pretrained(folder, **names, **options)
    with torch.no_grad():
        weight = torch.sin(torch.arange(model.classifier.weight.numel(), dtype=torch.float32) * 0.7)
        model.classifier.weight.copy_(weight.reshape(model.classifier.weight.shape))
        model.classifier.bias.copy_(torch.cos(torch.arange(len(LABELS), dtype=torch.float32)))
    return model


def labels_of(batch):
    """-100 at both ends of a text and at every fourth token."""
    return [
        [-100 if at in (0, len(ids) - 1) or at % 4 == 3 else (3 * at + row) % len(LABELS) for at in range(len(ids))]
        for row, ids in enumerate(batch["ids"])
    ]


def step(family, batch, dtype):
    model = load(family, dtype)
    labels = labels_of(batch)
    longest = max(map(len, labels))
    padded = torch.tensor([row + [-100] * (longest - len(row)) for row in labels])
    output = model.train()(**inputs_of(model.config, batch), labels=padded)
    output.loss.backward()
    logits = np.concatenate([output.logits[i, : len(row)].detach().double().numpy() for i, row in enumerate(labels)])
    gradients = {name: parameter.grad for name, parameter in model.named_parameters()}
    return logits.ravel(), output.loss.item(), gradients


def case(family, batch):
    return digested(family, *(step(family, batch, dtype) for dtype in (torch.float64, torch.float32)))


def main():
    batch = all_batches()["single"]
    cases = {family: case(family, batch) for family in FAMILIES}
    fixture = {"labels": LABELS, "targets": labels_of(batch), "families": cases}
    FIXTURE.write_text(json.dumps(plain(fixture), separators=(",", ":")) + "\n", encoding="utf-8")


if __name__ == "__main__":
    main()
