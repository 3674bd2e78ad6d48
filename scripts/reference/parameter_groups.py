"""Writes test/fixtures/parameter-groups.json: five steps by torch.optim with a group for each tensor, in float64.

Frozen tensors have requires_grad False and so no gradient, as transformers' users freeze them; torch then keeps no
state of them, and the bias correction of a tensor that is unfrozen later begins with its first update.
"""

import json
import re
from pathlib import Path

import numpy as np
import torch
from parity import build_model, check, config_of, digest, forward, hashes, plain, worst_relative

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "parameter-groups.json"
STEPS = 5
OPTIONS = {"learningRate": 5e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-6, "weightDecay": 0.1, "maxGradNorm": 1.0}
LAYERS = 2


def depth_of(name):
    """Howard and Ruder 2018: the head on top, then the layers, the embeddings last."""
    if name.startswith("bert.embeddings"):
        return LAYERS + 1
    layer = re.match(r"bert\.encoder\.layer\.(\d+)\.", name)
    return 0 if layer is None else LAYERS - int(layer[1])


def discriminative(name, step):
    factor = 2.6 ** -depth_of(name)
    if "layer.1.attention.self.query" in name:
        factor *= 10
    return {"trainable": True, "learningRateFactor": factor, "weightDecayFactor": 0.5 if "pooler" in name else 1.0}


def frozen(name, step):
    below = name.startswith(("bert.embeddings", "bert.encoder.layer.0."))
    part = "layer.1.attention.self.value" in name or "layer.1.intermediate" in name
    return {"trainable": not (below or part), "learningRateFactor": 1.0, "weightDecayFactor": 1.0}


def gradual(name, step):
    return {"trainable": depth_of(name) <= step // 2, "learningRateFactor": 1.0, "weightDecayFactor": 1.0}


def middle(name, step):
    return {"trainable": "layer.1." not in name, "learningRateFactor": 1.0, "weightDecayFactor": 1.0}


def train(case, dtype):
    model = build_model(case["config"], case["scale"], dtype)
    groups = {}
    for name, parameter in model.named_parameters():
        decay = OPTIONS["weightDecay"] if parameter.dim() >= 2 else 0.0
        groups[name] = {"params": [parameter], "weight_decay": decay}
    optimizer = torch.optim.AdamW(
        list(groups.values()), lr=OPTIONS["learningRate"], betas=(OPTIONS["beta1"], OPTIONS["beta2"]),
        eps=OPTIONS["epsilon"],
    )  # fmt: skip
    decays = [group["weight_decay"] for group in optimizer.param_groups]
    losses, norms = [], []
    for step, batch in enumerate(case["batches"]):
        for (name, parameter), group, decay in zip(model.named_parameters(), optimizer.param_groups, decays):
            settings = case["settings"][step][name]
            parameter.requires_grad_(settings["trainable"])
            group["lr"] = OPTIONS["learningRate"] * settings["learningRateFactor"]
            group["weight_decay"] = decay * settings["weightDecayFactor"]
        loss, _ = forward(model, case["config"], batch, dtype)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), OPTIONS["maxGradNorm"]).item())
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    weights = {name: digest(name, parameter) for name, parameter in model.named_parameters()}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return np.array(losses), np.array(norms), weights, sizes


def case_of(label, rule):
    config = config_of(numLabels=3, numHiddenLayers=LAYERS, vocabSize=50, intermediateSize=40)
    names = [name for name, _ in build_model(config, 0.25, torch.float32).named_parameters()]
    batches = []
    for index in range(STEPS):
        lengths = [int(value) for value in hashes(f"{label}.{index}.lengths", 6) % np.uint32(20) + np.uint32(1)]
        labels = [(row * 2 + index) % 3 for row in range(6)]
        batches.append({"name": f"{label}.{index}", "lengths": lengths, "pairs": False, "labels": labels})
    settings = [{name: rule(name, step) for name in names} for step in range(STEPS)]
    case = {"name": label, "config": config, "scale": 0.25, "batches": batches, "settings": settings}
    losses, norms, weights, sizes = train(case, torch.float64)
    losses32, norms32, weights32, _ = train(case, torch.float32)
    trained = {name: stored for name, stored in weights.items() if not name.endswith("key.bias")}
    rounding = {
        "loss": np.abs(losses - losses32).max(),
        "gradNorm": (np.abs(norms - norms32) / norms).max(),
        "weight": worst_relative(trained, weights32, sizes),
    }
    check(label, rounding, {"loss": 1e-5, "gradNorm": 1e-4, "weight": 1e-4})
    phases = []  # the settings when they change, and what differs from the usual in them
    for step in range(STEPS):
        if step > 0 and settings[step] == settings[step - 1]:
            continue
        usual = {"trainable": True, "learningRateFactor": 1.0, "weightDecayFactor": 1.0}
        phases.append({"step": step, "settings": [{"name": n, **s} for n, s in settings[step].items() if s != usual]})
    del case["settings"]
    return {**case, "options": OPTIONS, "phases": phases, "losses": losses, "gradNorms": norms, "weights": trained,
            "rounding": rounding}  # fmt: skip


def main():
    torch.set_num_threads(2)
    rules = {"discriminative rates": discriminative, "frozen below and inside": frozen,
             "gradual unfreezing": gradual, "frozen in the middle": middle}  # fmt: skip
    fixture = {"cases": [case_of(label, rule) for label, rule in rules.items()]}
    FIXTURE.write_text(json.dumps(plain(fixture), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
