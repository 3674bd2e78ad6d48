#!/usr/bin/env python3
"""Writes test/fixtures/schedule.json: the learning rates of transformers' get_scheduler, its reading of warmup_steps, and
the slanted triangular rates of Howard and Ruder 2018, equation 3, which transformers does not have.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/schedule.py
"""

import json
import math
import warnings
from pathlib import Path

import torch
import transformers
from transformers import TrainingArguments, get_scheduler

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "schedule.json"
PLAIN = ["linear", "cosine", "constant", "constant_with_warmup"]
# Schedules with arguments: each with HF's defaults where it has them, and with every argument changed.
WITH_KWARGS = [
    ("cosine", {"num_cycles": 1.25}),
    ("cosine_with_restarts", {}),
    ("cosine_with_restarts", {"num_cycles": 3}),
    ("polynomial", {}),
    ("polynomial", {"lr_end": 1e-6, "power": 2.5}),
    ("polynomial", {"lr_end": 0, "power": 0.5}),
    ("inverse_sqrt", {}),
    ("inverse_sqrt", {"timescale": 50}),
    ("cosine_with_min_lr", {"min_lr": 1e-6}),
    ("cosine_with_min_lr", {"min_lr_rate": 0.1, "num_cycles": 1.5}),
    ("cosine_warmup_with_min_lr", {"min_lr": 1e-6}),
    ("cosine_warmup_with_min_lr", {"min_lr_rate": 0.1, "warmup_lr_rate": 0.2, "num_cycles": 0.75}),
    ("warmup_stable_decay", {"num_decay_steps": 3}),
    ("warmup_stable_decay", {"num_decay_steps": 20, "warmup_type": "cosine", "decay_type": "linear", "min_lr_ratio": 0.1}),
    ("warmup_stable_decay", {"num_decay_steps": 5, "warmup_type": "1-sqrt", "decay_type": "1-sqrt", "min_lr_ratio": 0.05}),
    ("warmup_stable_decay", {"num_decay_steps": 4, "num_stable_steps": 2, "num_cycles": 1.5}),
]
SLANTED = [{}, {"cut_frac": 0.25, "ratio": 8}, {"cut_frac": 0.5, "ratio": 100}]
# (warmup, total): none, usual, one step, odd, warmup to the end and past it, one step in all.
LENGTHS = [(0, 10), (2, 10), (1, 7), (3, 100), (500, 9375), (10, 10), (12, 10), (0, 1), (1, 1), (937, 9373)]
# Without warmup to the very end, where HF's polynomial decay divides by zero.
KWARGS_LENGTHS = [(0, 10), (2, 10), (1, 7), (3, 100), (500, 9375), (12, 10), (0, 1)]
# Long enough for a whole step of rise.
SLANTED_TOTALS = [10, 40, 57, 100, 9375]
PEAKS = [5e-5, 1e-3]
RATIOS = [0, 0.06, 0.1, 0.01, 0.999, 1 / 3, 1e-9, 1, 2, 500]
TOTALS = [1, 7, 10, 100, 1000, 9375]


def kept_steps(warmup, total, samples=40):
    """The steps from 0 to a little past the end; of long schedules a sample."""
    stride = max(1, total // samples)
    return {*range(0, total + 3, stride), warmup - 1, warmup, warmup + 1, total - 1, total, total + 2} - {-1}


def rates(kind, warmup, total, peak, kwargs=None, samples=40):
    optimizer = torch.optim.SGD([torch.nn.Parameter(torch.zeros(1))], lr=peak)
    scheduler = get_scheduler(kind, optimizer, warmup, total, kwargs)
    keep = kept_steps(warmup, total, samples)
    found = []
    for step in range(total + 3):
        if step in keep:
            found.append([step, scheduler.get_last_lr()[0]])
        scheduler.step()
    return found


def slanted_triangular(step, total, peak, cut_frac=0.1, ratio=32):
    """Equation 3, term by term. Where its rounding of `cut` lets p fall below 0, the rate stays at its lowest."""
    cut = math.floor(total * cut_frac)
    p = step / cut if step < cut else 1 - (step - cut) / (cut * (1 / cut_frac - 1))
    return peak * (1 + max(0, p) * (ratio - 1)) / ratio


def camel_case(kwargs):
    head_and_words = [(name.split("_"), value) for name, value in kwargs.items()]
    return {head + "".join(word.title() for word in words): value for (head, *words), value in head_and_words}


def case(kind, warmup, total, peak, found, kwargs=None):
    head = {"type": kind, "warmupSteps": warmup, "totalSteps": total, "peak": peak}
    return {**head, **({"kwargs": camel_case(kwargs)} if kwargs else {}), "rates": found}


def cases():
    for kind in PLAIN:
        for warmup, total in LENGTHS:
            for peak in PEAKS:
                yield case(kind, warmup, total, peak, rates(kind, warmup, total, peak))
    for kind, kwargs in WITH_KWARGS:
        for i, (warmup, total) in enumerate(KWARGS_LENGTHS):
            peak = PEAKS[i % 2]
            yield case(kind, warmup, total, peak, rates(kind, warmup, total, peak, kwargs, samples=15), kwargs)
    for kwargs in SLANTED:
        for i, total in enumerate(SLANTED_TOTALS):
            peak = PEAKS[i % 2]
            steps = sorted(kept_steps(math.floor(total * kwargs.get("cut_frac", 0.1)), total))
            found = [[step, slanted_triangular(step, total, peak, **kwargs)] for step in steps]
            yield case("slanted_triangular", 0, total, peak, found, kwargs)


def main():
    warnings.simplefilter("ignore")
    resolved = [
        [ratio, total, TrainingArguments(output_dir="unused", warmup_steps=ratio, use_cpu=True).get_warmup_steps(total)]
        for ratio in RATIOS
        for total in TOTALS
    ]
    versions = {"transformers": transformers.__version__, "torch": torch.__version__.split("+")[0]}
    FIXTURE.write_text(json.dumps({"versions": versions, "cases": list(cases()), "resolved": resolved}) + "\n")


if __name__ == "__main__":
    main()
