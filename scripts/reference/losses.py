"""Writes test/fixtures/losses.json: losses and their gradients by torch in float64, for test/native/losses.ts.

Focal losses follow Lin et al. 2017 by autograd over torch's own losses; the multi-label one is torchvision's
sigmoid_focal_loss without alpha.
"""

import json
from pathlib import Path

import numpy as np
import torch
from sklearn.utils.class_weight import compute_class_weight
from torch.nn import functional as F

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "losses.json"
LOGITS = [[0.5, -1.25, 2.0], [3.0, 0.0, -0.75], [-2.5, 1.5, 1.0], [0.125, 0.25, -4.0], [6.0, -6.0, 0.5]]
CLASSES = [2, 0, 0, -100, 1]
HOT = [[1, 0, 1], [0, 0, 0], [1, 1, 1], [0, 1, 0], [0, 1, 1]]
# Probabilities add up to 1 a row where one label is right, and stand each for itself where any number is.
SOFT = {
    "single": [[0.25, 0.25, 0.5], [1, 0, 0], [0, 0.375, 0.625], [0.125, 0.75, 0.125], [0.5, 0.5, 0]],
    "multi": [[0.25, 0.75, 1], [0, 0.5, 0.125], [1, 1, 0.875], [0.5, 0, 0], [0.0625, 0.25, 0.5]],
}
# Logits of a teacher, whose probabilities are the labels.
TEACHER = [[1.5, -0.5, 4.0], [2.0, 2.0, -3.0], [-1.0, 0.25, 0.5], [0.0, 6.0, -6.0], [-8.0, 1.0, 3.5]]
# The rows' own labels, which count beside those of the teacher.
OWN = {"single": [[0, 0, 1], [1, 0, 0], [1, 0, 0], [0, 1, 0], [0, 1, 0]], "multi": HOT}
WEIGHTS = [0.5, 2.0, 1.25]


def distilled(kind, logits, teacher, o):
    """As Hinton et al. 2015 and torch's tutorial: T^2 times the cross-entropy with the teacher's softened answers. The
    gradients are those of F.kl_div."""
    t = o["temperature"]
    soft, student = teacher / t, logits / t
    if kind == "multi":
        weight = torch.tensor(o["posWeight"], dtype=torch.float64) if "posWeight" in o else None
        return t**2 * F.binary_cross_entropy_with_logits(student, torch.sigmoid(soft), pos_weight=weight)
    weight = torch.tensor(o["classWeights"], dtype=torch.float64) if "classWeights" in o else None
    return t**2 * F.cross_entropy(student, torch.softmax(soft, 1), weight)


def single(logits, labels, o):
    weight = torch.tensor(o["classWeights"], dtype=torch.float64) if "classWeights" in o else None
    if "focalGamma" not in o:
        return F.cross_entropy(logits, labels, weight, label_smoothing=o.get("labelSmoothing", 0.0))
    labelled = labels != -100
    losses = F.cross_entropy(logits[labelled], labels[labelled], reduction="none")
    factors = torch.ones(len(losses), dtype=torch.float64) if weight is None else weight[labels[labelled]]
    return (factors * (1 - torch.exp(-losses)) ** o["focalGamma"] * losses).sum() / factors.sum()


def multi(logits, labels, o):
    smoothing = o.get("labelSmoothing", 0.0)
    labels = labels * (1 - smoothing) + smoothing / 2
    weight = torch.tensor(o["posWeight"], dtype=torch.float64) if "posWeight" in o else None
    losses = F.binary_cross_entropy_with_logits(logits, labels, pos_weight=weight, reduction="none")
    p = torch.sigmoid(logits)
    right = p * labels + (1 - p) * (1 - labels)
    return ((1 - right) ** o["focalGamma"] * losses).mean() if "focalGamma" in o else losses.mean()


def case(kind, options, soft=False):
    logits = torch.tensor(LOGITS, dtype=torch.float64, requires_grad=True)
    labels = torch.tensor(CLASSES) if kind == "single" else torch.tensor(HOT, dtype=torch.float64)
    if soft:
        labels = torch.tensor(SOFT[kind], dtype=torch.float64)
    if "temperature" in options:
        labels = torch.tensor(TEACHER, dtype=torch.float64)
        loss = distilled(kind, logits, labels, options)
        if "alpha" in options:
            own = (single if kind == "single" else multi)(logits, torch.tensor(OWN[kind], dtype=torch.float64), options)
            loss = options["alpha"] * loss + (1 - options["alpha"]) * own
    else:
        loss = (single if kind == "single" else multi)(logits, labels, options)
    loss.backward()
    problem = f"{kind}_label_classification"
    result = {"options": options, "isSoft": soft, "loss": loss.item(), "gradients": logits.grad.tolist()}
    return {"problemType": problem, **result}


def main():
    cases = [
        case("single", options)
        for options in (
            {}, {"classWeights": WEIGHTS}, {"classWeights": WEIGHTS, "labelSmoothing": 0.1}, {"focalGamma": 2.0},
            {"focalGamma": 0.5, "classWeights": WEIGHTS},
        )
    ] + [
        case("multi", options)
        for options in (
            {}, {"labelSmoothing": 0.2}, {"posWeight": WEIGHTS}, {"posWeight": WEIGHTS, "labelSmoothing": 0.1},
            {"focalGamma": 2.0}, {"focalGamma": 0.5, "posWeight": WEIGHTS},
        )
    ]  # fmt: skip
    smoothed = {"labelSmoothing": 0.1}
    cases += [case("single", o, soft=True) for o in ({}, smoothed, {"classWeights": WEIGHTS, **smoothed})]
    cases += [case("multi", o, soft=True) for o in ({}, {"posWeight": WEIGHTS, **smoothed}, {"focalGamma": 2.0})]
    warm = ({"temperature": 2.0}, {"temperature": 0.5})
    cases += [case("single", o, soft=True) for o in (*warm, {"temperature": 4.0, "classWeights": WEIGHTS})]
    cases += [case("multi", o, soft=True) for o in (*warm, {"temperature": 4.0, "posWeight": WEIGHTS})]
    mixed = ({"temperature": 1.0, "alpha": 0.25}, {"temperature": 3.0, "alpha": 0.5}, {"temperature": 2.0, "alpha": 0.0})
    cases += [case("single", o, soft=True) for o in (*mixed, {"temperature": 2.0, "alpha": 0.75, "classWeights": WEIGHTS})]
    cases += [case("multi", o, soft=True) for o in (*mixed, {"temperature": 2.0, "alpha": 0.75, "posWeight": WEIGHTS})]
    teacher = torch.tensor(TEACHER, dtype=torch.float64)
    taught = {"single": torch.softmax(teacher, 1).tolist(), "multi": torch.sigmoid(teacher).tolist()}
    y = [0] * 7 + [1] * 2 + [2] * 3
    balanced = {"labels": y, "weights": compute_class_weight("balanced", classes=np.unique(y), y=y).tolist()}
    fixture = {"logits": LOGITS, "classes": CLASSES, "hot": HOT, "soft": SOFT, "taught": taught, "own": OWN, "cases": cases, "balanced": balanced}
    FIXTURE.write_text(json.dumps(fixture, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
