#!/usr/bin/env python3
"""Writes test/fixtures/schedule.json: the learning rates of transformers' get_scheduler, and its reading of warmup_steps.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/schedule.py
"""

import json
import warnings
from pathlib import Path

import torch
import transformers
from transformers import TrainingArguments, get_scheduler

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "schedule.json"
TYPES = ["linear", "cosine", "constant", "constant_with_warmup"]
# (warmup, total): none, usual, one step, odd, warmup to the end and past it, one step in all.
LENGTHS = [(0, 10), (2, 10), (1, 7), (3, 100), (500, 9375), (10, 10), (12, 10), (0, 1), (1, 1), (937, 9373)]
PEAKS = [5e-5, 1e-3]
RATIOS = [0, 0.06, 0.1, 0.01, 0.999, 1 / 3, 1e-9, 1, 2, 500]
TOTALS = [1, 7, 10, 100, 1000, 9375]


def rates(kind, warmup, total, peak):
    """The rate of each step from 0 to a little past the end; of long schedules a sample of the steps."""
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    kwargs = {} if kind == "constant" else {"num_warmup_steps": warmup}
    if kind in ("linear", "cosine"):
        kwargs["num_training_steps"] = total
    scheduler = get_scheduler(kind, optimizer, **kwargs)
    stride = max(1, total // 40)
    keep = {*range(0, total + 3, stride), warmup - 1, warmup, warmup + 1, total - 1, total, total + 2}
    found = []
    for step in range(total + 3):
        if step in keep:
            found.append([step, scheduler.get_last_lr()[0]])
        scheduler.step()
    return found


def main():
    warnings.simplefilter("ignore")
    cases = [
        {"type": kind, "warmupSteps": warmup, "totalSteps": total, "peak": peak, "rates": rates(kind, warmup, total, peak)}
        for kind in TYPES
        for warmup, total in LENGTHS
        for peak in PEAKS
    ]
    resolved = [
        [ratio, total, TrainingArguments(output_dir="unused", warmup_steps=ratio, use_cpu=True).get_warmup_steps(total)]
        for ratio in RATIOS
        for total in TOTALS
    ]
    versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    FIXTURE.write_text(json.dumps({"versions": versions, "cases": cases, "resolved": resolved}) + "\n")


if __name__ == "__main__":
    main()
