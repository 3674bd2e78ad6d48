#!/usr/bin/env python3
"""Writes test/fixtures/adaptive-schedule.json: the learning rates of torch's ReduceLROnPlateau and transformers' GreedyLR
along series of metrics that fall, rise, stand still and jump.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/adaptive_schedule.py
"""

import json
import random
import warnings
from pathlib import Path

import torch
import transformers
from schedule import camel_case
from transformers import get_scheduler

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "adaptive-schedule.json"
CASES = [
    ("reduce_lr_on_plateau", {}),
    ("reduce_lr_on_plateau", {"patience": 0, "factor": 0.5}),
    ("reduce_lr_on_plateau", {"patience": 1, "cooldown": 2, "min_lr": 1e-6, "mode": "max"}),
    ("reduce_lr_on_plateau", {"patience": 2, "threshold": 0.05, "threshold_mode": "abs"}),
    ("reduce_lr_on_plateau", {"patience": 1, "threshold": 0.1, "mode": "max", "threshold_mode": "abs", "eps": 1e-5}),
    ("reduce_lr_on_plateau", {"patience": 1, "threshold": 0.1, "mode": "max", "threshold_mode": "rel"}),
    ("greedy", {"min_lr": 1e-6}),
    ("greedy", {"min_lr": 1e-5, "max_lr": 1e-4, "patience": 0, "factor": 0.5, "reset_start": 3}),
    ("greedy", {"min_lr": 1e-5, "patience": 1, "factor": 0.7, "cooldown": 2, "warmup": 1, "mode": "max"}),
    ("greedy", {"min_lr": 1e-6, "patience": 1, "smooth": True, "window_size": 4, "factor": 0.8}),
    ("greedy", {"min_lr": 2e-5, "patience": 0, "smooth": True, "factor": 0.5, "reset_start": 1, "threshold_mode": "rel"}),
    ("greedy", {"min_lr": 1e-6, "patience": 0, "threshold": 0.05, "eps": 1e-5, "factor": 0.6, "mode": "max"}),
]
PEAK = 5e-5
EVALUATIONS = 60


def series(name, numbers):
    """As a loss that is learnt, a constant one, one that gets worse, and one without a direction."""
    falling = [2 * 0.93**i + numbers.uniform(0, 0.02) for i in range(EVALUATIONS)]
    named = {
        "falling": falling,
        "constant": [0.5] * EVALUATIONS,
        "rising": [0.1 * i + numbers.uniform(0, 0.3) for i in range(EVALUATIONS)],
        "jumping": [numbers.choice([-1, 1]) * numbers.random() for _ in range(EVALUATIONS)],
    }
    return named[name]


def rates(kind, kwargs, metrics):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=PEAK)
    scheduler = get_scheduler(kind, optimizer, 0, 100, kwargs)
    found = []
    for metric in metrics:
        scheduler.step(metric)
        found.append(optimizer.param_groups[0]["lr"])
    return found


def main():
    warnings.simplefilter("ignore")
    numbers = random.Random(0)
    metrics = {name: series(name, numbers) for name in ["falling", "constant", "rising", "jumping"]}
    cases = [
        {"type": kind, "kwargs": camel_case(kwargs), "metrics": name, "rates": rates(kind, kwargs, values)}
        for kind, kwargs in CASES
        for name, values in metrics.items()
    ]
    versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    FIXTURE.write_text(json.dumps({"versions": versions, "peak": PEAK, "metrics": metrics, "cases": cases}) + "\n")


if __name__ == "__main__":
    main()
