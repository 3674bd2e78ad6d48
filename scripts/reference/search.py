#!/usr/bin/env python3
"""Writes test/fixtures/search.json: log densities of Optuna's Parzen estimators (univariate, its defaults), which trials
its TPESampler counts as good, and which reports its MedianPruner gives up.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/search.py
"""

import json
import math
import random
import warnings
from pathlib import Path

import numpy as np
import optuna
from optuna.distributions import CategoricalDistribution, FloatDistribution, IntDistribution
from optuna.samplers._tpe.parzen_estimator import _ParzenEstimator, _ParzenEstimatorParameters
from optuna.samplers._tpe.sampler import _split_trials, default_gamma, default_weights

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "search.json"
PARAMETERS = _ParzenEstimatorParameters(
    prior_weight=1.0, consider_magic_clip=True, consider_endpoints=False, weights=default_weights, multivariate=False
)
SPACE = [
    ({"uniform": [0, 0.1]}, FloatDistribution(0, 0.1)),
    ({"uniform": [-3, 5]}, FloatDistribution(-3, 5)),
    ({"log_uniform": [1e-6, 1e-3]}, FloatDistribution(1e-6, 1e-3, log=True)),
    ({"int": [1, 4]}, IntDistribution(1, 4)),
    ({"int": [0, 100]}, IntDistribution(0, 100)),
    ({"choice": ["a", "b", "c"]}, CategoricalDistribution([0, 1, 2])),
]


def draw(distribution, numbers):
    if isinstance(distribution, CategoricalDistribution):
        return numbers.randrange(3)
    if isinstance(distribution, IntDistribution):
        return numbers.randint(distribution.low, distribution.high)
    if distribution.log:
        return math.exp(numbers.uniform(math.log(distribution.low), math.log(distribution.high)))
    return numbers.uniform(distribution.low, distribution.high)


def densities(numbers):
    for written, distribution in SPACE:
        for count in [0, 1, 2, 3, 24, 25, 26, 27, 60]:
            # From 26 trials on the weights differ, and Optuna orders equal values as numpy's unstable sort leaves them.
            is_int = isinstance(distribution, IntDistribution)
            if is_int and count > 25 and distribution.high < 100:
                continue
            observed = [draw(distribution, numbers) for _ in range(count)]
            if is_int and count > 25:
                observed = numbers.sample(range(101), count)
            at = [draw(distribution, numbers) for _ in range(6)]
            if isinstance(distribution, FloatDistribution | IntDistribution):
                at += [distribution.low, distribution.high]
            estimator = _ParzenEstimator({"x": np.array(observed, dtype=float)}, {"x": distribution}, PARAMETERS)
            found = estimator.log_pdf({"x": np.array(at, dtype=float)}).tolist()
            yield {"dimension": written, "observed": observed, "at": at, "logDensity": found}


def study(numbers, count, direction):
    made = optuna.create_study(direction=direction)
    for _ in range(count):
        # Evaluations at steps 10, 20, 30; some trials are given up before the last.
        reports = {step: round(numbers.uniform(0, 1), 2) for step in range(10, numbers.choice([20, 30, 40, 40, 40]), 10)}
        is_pruned = len(reports) < 3
        made.add_trial(
            optuna.trial.create_trial(
                state=optuna.trial.TrialState.PRUNED if is_pruned else optuna.trial.TrialState.COMPLETE,
                value=list(reports.values())[-1],
                intermediate_values=reports,
            )
        )
    return made


def written(trial):
    reports = [{"step": step, "value": value} for step, value in trial.intermediate_values.items()]
    state = "pruned" if trial.state == optuna.trial.TrialState.PRUNED else "complete"
    return {"number": trial.number, "params": {}, "state": state, "value": reports[-1]["value"], "reports": reports}


def splits(numbers):
    for count in [1, 4, 11, 40]:
        for direction in ["minimize", "maximize"]:
            made = study(numbers, count, direction)
            below, above = _split_trials(made, made.trials, default_gamma(count))
            yield {
                "greaterIsBetter": direction == "maximize",
                "trials": [written(trial) for trial in made.trials],
                "good": [trial.number for trial in below],
                "rest": [trial.number for trial in above],
            }


def prunings(numbers):
    pruner = optuna.pruners.MedianPruner()
    for count in [3, 8, 15]:
        for direction in ["minimize", "maximize"]:
            made = study(numbers, count, direction)
            past = [written(trial) for trial in made.trials]
            for _ in range(8):
                trial = made.ask()
                reports = [{"step": 10 * (i + 1), "value": round(numbers.uniform(0, 1), 2)} for i in range(numbers.randint(1, 3))]
                for report in reports:
                    trial.report(report["value"], report["step"])
                yield {
                    "greaterIsBetter": direction == "maximize",
                    "past": past,
                    "reports": reports,
                    "isHopeless": bool(trial.should_prune()),
                }


def main():
    warnings.simplefilter("ignore")
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    numbers = random.Random(1)
    fixture = {
        "versions": {"optuna": optuna.__version__},
        "densities": list(densities(numbers)),
        "splits": list(splits(numbers)),
        "prunings": list(prunings(numbers)),
    }
    FIXTURE.write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
