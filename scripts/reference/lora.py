"""Writes test/fixtures/lora.json: steps of BERT with PEFT's LoRA adapters by torch.optim, in float64, dropout 0.

Needs peft beside requirements.txt. Weights and adapters are functions of their names, as in parity.py; B is not zero,
so that both matrices get gradients from the first step on.
"""

import json
from pathlib import Path

import numpy as np
import torch
from parity import (
    build_model, check, config_of, digest, forward, hashes, plain, seeded_weight, worst_relative,
)  # fmt: skip
from peft import LoraConfig, get_peft_model

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "lora.json"
STEPS = 4
SCALE = 0.25
OPTIONS = {"learningRate": 5e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "weightDecay": 0.1, "maxGradNorm": 1.0}
PREFIX = "base_model.model."


def plain_name(name):
    """As bertune calls it: without PEFT's wrappers."""
    name = name.removeprefix(PREFIX).replace(".default", "").replace(".base_layer", "")
    return name.replace(".modules_to_save", "")


def adapted_model(case, dtype):
    targets, rank, alpha = case["targets"], case["rank"], case["alpha"]
    lora = LoraConfig(task_type="SEQ_CLS", r=rank, lora_alpha=alpha, lora_dropout=0.0, target_modules=targets)
    model = get_peft_model(build_model(case["config"], SCALE, dtype), lora).to(dtype)
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            seeded = seeded_weight(plain_name(name), tuple(parameter.shape), SCALE)
            parameter.data.copy_(torch.as_tensor(seeded).to(dtype))
    return model


def train(case, dtype):
    model = adapted_model(case, dtype)
    trained = {plain_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    groups = [{"params": [p], "weight_decay": OPTIONS["weightDecay"] if p.dim() >= 2 else 0.0} for p in trained.values()]
    optimizer = torch.optim.AdamW(
        groups, lr=OPTIONS["learningRate"], betas=(OPTIONS["beta1"], OPTIONS["beta2"]), eps=OPTIONS["epsilon"]
    )  # fmt: skip
    losses, norms = [], []
    for batch in case["batches"]:
        loss, _ = forward(model, case["config"], batch, dtype)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(list(trained.values()), OPTIONS["maxGradNorm"]).item())
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    model.eval()
    with torch.no_grad():
        _, logits = forward(model, case["config"], case["batches"][0], dtype)
    weights = {name: digest(name, parameter) for name, parameter in trained.items()}
    sizes = {name: parameter.numel() for name, parameter in trained.items()}
    return np.array(losses), np.array(norms), logits.double().numpy().ravel(), weights, sizes


def case_of(label, targets, rank, alpha):
    config = config_of(numLabels=3, numHiddenLayers=2, vocabSize=50, intermediateSize=40)
    batches = []
    for index in range(STEPS):
        lengths = [int(value) for value in hashes(f"{label}.{index}.lengths", 6) % np.uint32(20) + np.uint32(1)]
        labels = [(row * 2 + index) % 3 for row in range(6)]
        batches.append({"name": f"{label}.{index}", "lengths": lengths, "pairs": False, "labels": labels})
    case = {"name": label, "config": config, "scale": SCALE, "targets": targets, "rank": rank, "alpha": alpha,
            "batches": batches}  # fmt: skip
    losses, norms, logits, weights, sizes = train(case, torch.float64)
    losses32, norms32, logits32, weights32, _ = train(case, torch.float32)
    # Adding to all keys changes no attention weight, so the key's B has a gradient of rounding errors only where x is
    # constant; its A and B are recorded, and `rounding` says how far float32 is off.
    rounding = {
        "loss": np.abs(losses - losses32).max(),
        "gradNorm": (np.abs(norms - norms32) / norms).max(),
        "logits": np.abs(logits - logits32).max(),
        "weight": worst_relative(weights, weights32, sizes),
    }
    check(label, rounding, {"loss": 1e-5, "gradNorm": 1e-4, "logits": 1e-4, "weight": 1e-4})
    return {**case, "options": OPTIONS, "losses": losses, "gradNorms": norms, "logits": logits, "weights": weights,
            "rounding": rounding}  # fmt: skip


def main():
    torch.set_num_threads(2)
    attention = ["query", "value"]
    every = ["query", "key", "value", "attention.output.dense", "intermediate.dense", "output.dense"]
    cases = [
        case_of("query and value", attention, 2, 3),
        case_of("all linear layers", every, 4, 8),
        case_of("queries and all that ends in dense, the pooler too", ["query", "dense"], 3, 6),
    ]
    fixture = {"cases": cases}
    FIXTURE.write_text(json.dumps(plain(fixture), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
