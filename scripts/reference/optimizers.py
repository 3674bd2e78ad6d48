"""Writes test/fixtures/optimizers.json: steps by torch.optim's Adam, SGD and Adagrad, in float64, dropout 0."""

import json
from pathlib import Path

import numpy as np
import torch
from parity import build_model, check, config_of, digest, forward, hashes, plain, worst_relative

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "optimizers.json"
STEPS = 5
SCALE = 0.25
BETAS = (0.9, 0.98)
MAX_GRAD_NORM = 1.0


def make(case, groups):
    rate = case["options"]["learningRate"]
    if case["optimizer"] == "adam":
        return torch.optim.Adam(groups, lr=rate, betas=BETAS, eps=case["options"]["epsilon"])
    if case["optimizer"] == "sgd":
        return torch.optim.SGD(groups, lr=rate, momentum=case["momentum"])
    return torch.optim.Adagrad(groups, lr=rate, eps=case["options"]["epsilon"])


def train(case, dtype):
    model = build_model(case["config"], SCALE, dtype)
    decay = case["options"]["weightDecay"]
    parameters = dict(model.named_parameters())
    optimizer = make(case, [{"params": [p], "weight_decay": decay if p.dim() >= 2 else 0.0} for p in parameters.values()])
    losses = []
    for batch in case["batches"]:
        loss, _ = forward(model, case["config"], batch, dtype)
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM)
        losses.append(loss.item())
        optimizer.step()
        optimizer.zero_grad()
    # The gradient of key biases is zero but for rounding, which optimizers that divide by its size make large.
    compared = {name: p for name, p in parameters.items() if not name.endswith("key.bias")}
    kinds = {"adam": ["exp_avg", "exp_avg_sq"], "sgd": ["momentum_buffer"], "adagrad": ["sum"]}[case["optimizer"]]
    if case["optimizer"] == "sgd" and case["momentum"] == 0:
        kinds = []
    states = {kind: {name: digest(name, optimizer.state[p][kind]) for name, p in compared.items()} for kind in kinds}
    weights = {name: digest(name, p) for name, p in compared.items()}
    return np.array(losses), weights, states, {name: p.numel() for name, p in compared.items()}


def case_of(label, optimizer, rate, momentum=0.0, decay=0.0, epsilon=1e-10):
    config = config_of(numLabels=3, numHiddenLayers=1, vocabSize=30, intermediateSize=24)
    batches = []
    for index in range(STEPS):
        lengths = [int(value) for value in hashes(f"{label}.{index}.lengths", 6) % np.uint32(20) + np.uint32(1)]
        labels = [(row * 2 + index) % 3 for row in range(6)]
        batches.append({"name": f"{label}.{index}", "lengths": lengths, "pairs": False, "labels": labels})
    options = {"learningRate": rate, "beta1": BETAS[0], "beta2": BETAS[1], "epsilon": epsilon, "weightDecay": decay,
               "maxGradNorm": MAX_GRAD_NORM}  # fmt: skip
    case = {"name": label, "config": config, "scale": SCALE, "optimizer": optimizer, "momentum": momentum,
            "batches": batches, "options": options}  # fmt: skip
    losses, weights, states, sizes = train(case, torch.float64)
    losses32, weights32, _, _ = train(case, torch.float32)
    rounding = {"loss": np.abs(losses - losses32).max(), "weight": worst_relative(weights, weights32, sizes)}
    check(label, rounding, {"loss": 1e-5, "weight": 1e-4})
    return {**case, "losses": losses, "weights": weights, "states": states, "rounding": rounding}


def main():
    torch.set_num_threads(2)
    cases = [
        case_of("Adam with an L2 term", "adam", 5e-3, decay=0.1, epsilon=1e-6),
        case_of("SGD", "sgd", 0.1),
        case_of("SGD with momentum and an L2 term", "sgd", 0.1, momentum=0.9, decay=0.05),
        case_of("Adagrad", "adagrad", 1e-2),
        case_of("Adagrad with an L2 term", "adagrad", 1e-2, decay=0.1),
    ]
    FIXTURE.write_text(json.dumps(plain({"cases": cases}), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
