"""Writes test/fixtures/parity.json: what transformers computes for the cases that test/native/parity.ts runs through a Session.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/parity.py            # about a minute on 2 cores

Every case runs BertForSequenceClassification twice, with eager attention and no dropout: in float64, whose results are
stored, and in float32, of which only the distance from float64 is stored (`rounding`). The test adds that distance to
our own before it compares with the tolerance. By the triangle inequality a pass then implies agreement with float32
transformers within that tolerance, while the stored numbers are the ones that both sides approximate and that come out
the same on every machine.

Weights and token ids are not stored: both sides derive them from names (test/fixtures/seeded.ts is the other half).
"""

import json
import math
import re
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
import transformers
from transformers import BertConfig, BertForSequenceClassification, Trainer, TrainingArguments
from transformers.trainer_pt_utils import LabelSmoother

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "parity.json"
COMPLETE = 64  # tensors up to this size are stored complete, larger ones as norm and projections
PROJECTIONS = 8
ACTIVATIONS = ["gelu", "gelu_new", "gelu_fast", "gelu_pytorch_tanh", "relu", "silu", "swish", "tanh"]


# ---- seeded values: integer hashing and exact float64 arithmetic, as in seeded.ts -----------------------------------


def mix(x):
    x = np.asarray(x, dtype=np.uint32).copy()
    x ^= x >> np.uint32(16)
    x *= np.uint32(0x7FEB352D)
    x ^= x >> np.uint32(15)
    x *= np.uint32(0x846CA68B)
    return x ^ (x >> np.uint32(16))


def hashes(name, size):
    seed = 0x811C9DC5
    for byte in name.encode("ascii"):
        seed = ((seed ^ byte) * 0x01000193) & 0xFFFFFFFF
    return mix(mix(np.arange(size, dtype=np.uint32)) ^ np.uint32(seed))


def seeded_weight(name, shape, scale):
    norm = name.endswith("LayerNorm.weight")
    centre = 1.0 if norm else 0.0
    width = 0.2 if norm else 0.1 if name.endswith("bias") else scale
    values = (hashes(name, math.prod(shape)) >> np.uint32(8)) / 2**23 - 1
    return (centre + width * values).astype(np.float32).reshape(shape)


def seeded_ids(name, lengths, vocab_size):
    ids = hashes(f"{name}.ids", sum(lengths)) % np.uint32(vocab_size)
    return np.split(ids.astype(np.int64), np.cumsum(lengths)[:-1])


# ---- what is stored of a tensor ---------------------------------------------------------------------------------------


def digest(name, tensor):
    values = tensor.detach().double().numpy().ravel()
    if values.size <= COMPLETE:
        return values
    bits = hashes(f"{name}.signs", values.size)
    signs = [np.where((bits >> np.uint32(k)) & np.uint32(1), 1.0, -1.0) for k in range(PROJECTIONS)]
    return np.array([np.linalg.norm(values)] + [values @ sign for sign in signs])


def distance(size, a, b):
    difference = a - b
    if size <= COMPLETE:
        return np.linalg.norm(difference)
    return max(abs(difference[0]), np.linalg.norm(difference[1:]) / math.sqrt(PROJECTIONS))


def norm_of(size, stored):
    return np.linalg.norm(stored) if size <= COMPLETE else stored[0]


def without_rounding(digests, sizes):
    """Gradients that are zero in exact arithmetic (key biases: softmax ignores them) are stored as zero."""
    whole = math.hypot(*(norm_of(sizes[name], stored) for name, stored in digests.items()))
    return {
        name: stored if norm_of(sizes[name], stored) > 1e-12 * whole else np.zeros_like(stored)
        for name, stored in digests.items()
    }


def worst_relative(exact, other, sizes):
    """The largest relative distance over all tensors that are not exactly zero."""
    norms = {name: norm_of(sizes[name], stored) for name, stored in exact.items()}
    return max(
        (distance(sizes[name], exact[name], other[name]) / norm for name, norm in norms.items() if norm > 0),
        default=0.0,
    )


# ---- the model ----------------------------------------------------------------------------------------------------------


def snake(name):
    return re.sub(r"[A-Z]", lambda letter: "_" + letter[0].lower(), name)


def build_model(config, scale, dtype):
    settings = {snake(key): value for key, value in config.items()}
    model = BertForSequenceClassification(BertConfig(**settings, attn_implementation="eager"))
    state = {
        name: torch.from_numpy(seeded_weight(name, tuple(parameter.shape), scale))
        for name, parameter in model.named_parameters()
    }
    model.load_state_dict(state)
    return model.to(dtype).train()


def padded_batch(config, batch):
    """Right-padded tensors with an attention mask, from the description that the test packs."""
    sequences = seeded_ids(batch["name"], batch["lengths"], config["vocabSize"])
    shape = (len(sequences), max(batch["lengths"]))
    ids = torch.full(shape, config["padTokenId"])
    types, mask = torch.zeros(shape, dtype=torch.long), torch.zeros(shape, dtype=torch.long)
    for row, sequence in enumerate(sequences):
        length = len(sequence)
        ids[row, :length] = torch.from_numpy(sequence)
        mask[row, :length] = 1
        if batch["pairs"]:
            types[row, math.ceil(length / 2) : length] = 1
    inputs = {"input_ids": ids, "attention_mask": mask}
    return {**inputs, "token_type_ids": types} if batch["pairs"] else inputs


def forward(model, config, batch, dtype, smoothing=0.0):
    labels = torch.tensor(batch["labels"])
    if config["problemType"] != "single_label_classification":
        labels = labels.to(dtype).reshape(len(batch["lengths"]), -1)
    inputs = padded_batch(config, batch)
    if smoothing:
        output = model(**inputs)
        return LabelSmoother(epsilon=smoothing)(output, labels), output.logits
    output = model(**inputs, labels=labels)
    return output.loss, output.logits


# ---- one step: logits, loss, gradients ------------------------------------------------------------------------------------


def config_of(**changes):
    """A SessionConfig as TypeScript names it; keys are turned into snake_case for transformers."""
    return {
        "vocabSize": 100, "hiddenSize": 32, "numHiddenLayers": 2, "numAttentionHeads": 4, "intermediateSize": 64,
        "hiddenAct": "gelu", "hiddenDropoutProb": 0.0, "attentionProbsDropoutProb": 0.0, "classifierDropout": 0.0,
        "maxPositionEmbeddings": 64, "typeVocabSize": 2, "initializerRange": 0.02, "layerNormEps": 1e-12,
        "padTokenId": 0, "numLabels": 2, "problemType": "single_label_classification", **changes,
    }  # fmt: skip


def labels_of(config, rows, ignored=()):
    """Class ids, or multi-hot rows, or targets that are multiples of 1/8 so that float32 holds them exactly."""
    count = config["numLabels"]
    if config["problemType"] == "single_label_classification":
        return [-100 if row in ignored else (5 * row + 1) % count for row in range(rows)]
    cells = range(rows * count)
    if config["problemType"] == "regression":
        return [(cell * 5 % 17 - 8) / 8 for cell in cells]
    return [1.0 if cell * 5 % 7 < 3 else 0.0 for cell in cells]


def case_of(name, lengths=(7, 1, 12, 30), pairs=False, ignored=(), smoothing=0.0, **changes):
    config = config_of(**changes)
    return {
        "name": name, "config": config, "labelSmoothing": smoothing,
        "scale": round(1.4 / math.sqrt(config["hiddenSize"]), 3),
        "batch": {"name": name, "lengths": list(lengths), "pairs": pairs,
                  "labels": labels_of(config, len(lengths), ignored)},
    }  # fmt: skip


def cases():
    mini = {"hiddenSize": 16, "numHiddenLayers": 1, "numAttentionHeads": 2, "intermediateSize": 20, "vocabSize": 40}
    yield case_of("two layers")
    yield case_of("MiniLM shape", lengths=(64, 1, 200, 37), vocabSize=30522, hiddenSize=384, numHiddenLayers=6,
                  numAttentionHeads=12, intermediateSize=1536, maxPositionEmbeddings=512)  # fmt: skip
    yield case_of("3 heads of 24, 1 token type", hiddenSize=72, numAttentionHeads=3, intermediateSize=100,
                  typeVocabSize=1, numLabels=7)  # fmt: skip
    yield case_of("5 heads of 40, pairs", hiddenSize=200, numAttentionHeads=5, intermediateSize=300, pairs=True,
                  numLabels=7)  # fmt: skip
    yield case_of("lengths 1 to 512, pairs", lengths=(512, 1, 2, 511, 3, 100, 65, 1, 64), pairs=True, hiddenSize=48,
                  numAttentionHeads=3, intermediateSize=96, maxPositionEmbeddings=512, vocabSize=500)  # fmt: skip
    yield case_of("LayerNorm epsilon 0.05", layerNormEps=0.05, **mini)
    yield case_of("padding token inside a text", padTokenId=3, lengths=(60, 40), **mini)
    for kind in ("single_label_classification", "multi_label_classification", "regression"):
        for count in (2, 7) if kind == "single_label_classification" else (1, 2, 7):  # BertConfig refuses one class
            yield case_of(f"{kind}, {count} labels", numLabels=count, problemType=kind, **mini)
    yield case_of("labels of -100 are ignored", numLabels=7, ignored=(0, 2), **mini)
    yield case_of("label smoothing 0.1", numLabels=7, smoothing=0.1, **mini)
    yield case_of("label smoothing 0.1 with -100", numLabels=2, smoothing=0.1, ignored=(1,), **mini)
    for activation in ACTIVATIONS:
        yield case_of(f"hidden_act {activation}", hiddenAct=activation, lengths=(9, 5), **mini)


def step(case, dtype):
    model = build_model(case["config"], case["scale"], dtype)
    loss, logits = forward(model, case["config"], case["batch"], dtype, case["labelSmoothing"])
    loss.backward()
    gradients = {name: digest(name, parameter.grad) for name, parameter in model.named_parameters()}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return loss.item(), logits.detach().double().numpy().ravel(), gradients, sizes


def run_case(case):
    loss, logits, gradients, sizes = step(case, torch.float64)
    gradients = without_rounding(gradients, sizes)
    loss32, logits32, gradients32, _ = step(case, torch.float32)
    rounding = {
        "logits": np.abs(logits - logits32).max() / np.abs(logits).max(),
        "loss": abs(loss - loss32) / max(1.0, abs(loss)),
        "gradient": worst_relative(gradients, gradients32, sizes),
    }
    check(case["name"], rounding, {"logits": 1e-5, "loss": 1e-6, "gradient": 1e-4})
    return {**case, "loss": loss, "logits": logits, "rounding": rounding, "gradients": gradients}


# ---- 20 steps of AdamW ----------------------------------------------------------------------------------------------------


def curves():
    """HF's defaults, and settings in which every option differs from them."""
    usual = {"learningRate": 5e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01}
    other = {"learningRate": 2e-3, "beta1": 0.8, "beta2": 0.95, "epsilon": 1e-6, "weightDecay": 0.5}
    config = config_of(numLabels=3)
    for name, options in (("usual settings", usual), ("other settings", other)):
        batches = []
        for index in range(20):
            lengths = [int(value) for value in hashes(f"{name}.{index}.lengths", 8) % np.uint32(30) + np.uint32(1)]
            labels = [(row * 2 + index) % 3 for row in range(8)]
            if index == 4:
                labels[5] = -100
            batches.append({"name": f"{name}.{index}", "lengths": lengths, "pairs": index % 2 == 1, "labels": labels})
        yield {"name": name, "config": config, "scale": 0.25, "maxGradNorm": 1.0, "warmupSteps": 5,
               "options": options, "batches": batches}  # fmt: skip


def train(curve, dtype):
    """The loop of Trainer._inner_training_loop, with Trainer's own optimizer, decay groups and schedule."""
    model = build_model(curve["config"], curve["scale"], dtype)
    options, steps = curve["options"], len(curve["batches"])
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, use_cpu=True, learning_rate=options["learningRate"], adam_beta1=options["beta1"],
            adam_beta2=options["beta2"], adam_epsilon=options["epsilon"], weight_decay=options["weightDecay"],
            warmup_steps=curve["warmupSteps"], lr_scheduler_type="linear",
        )  # fmt: skip
        trainer = Trainer(model=model, args=arguments)
        trainer.create_optimizer_and_scheduler(steps)
    fused = trainer.optimizer.param_groups[0]["fused"]
    assert fused and len(trainer.optimizer.param_groups) == 2, "not the optimizer that Trainer is documented to use"
    losses, norms, rates = [], [], []
    for batch in curve["batches"]:
        loss, _ = forward(model, curve["config"], batch, dtype)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), curve["maxGradNorm"]).item())
        rates.append(trainer.lr_scheduler.get_last_lr()[0])
        losses.append(loss.item())
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        trainer.optimizer.zero_grad()
    weights = {name: digest(name, parameter) for name, parameter in model.named_parameters()}
    sizes = {name: parameter.numel() for name, parameter in model.named_parameters()}
    return np.array(losses), np.array(norms), rates, weights, sizes


def run_curve(curve):
    losses, norms, rates, weights, sizes = train(curve, torch.float64)
    losses32, norms32, _, weights32, _ = train(curve, torch.float32)
    clipped = int((norms > curve["maxGradNorm"]).sum())
    assert 3 <= clipped <= 17, f"clipping must be active on some steps and not on others, but was on {clipped} of 20"
    trained = {name: stored for name, stored in weights.items() if not name.endswith("key.bias")}
    rounding = {
        "loss": np.abs(losses - losses32).max(),
        "gradNorm": (np.abs(norms - norms32) / norms).max(),
        "weight": worst_relative(trained, weights32, sizes),
    }
    check(curve["name"], rounding, {"loss": 1e-5, "gradNorm": 1e-4, "weight": 1e-4})
    del curve["warmupSteps"]
    results = {"learningRates": rates, "losses": losses, "gradNorms": norms, "rounding": rounding, "weights": trained}
    return {**curve, **results}


# ---- output -----------------------------------------------------------------------------------------------------------------


def check(name, rounding, tolerances):
    """A case in which float32 itself uses up the tolerance would test nothing."""
    figures = ", ".join(f"{key} {value:.1e}" for key, value in rounding.items())
    print(f"{name}: float32 differs from float64 by {figures}", file=sys.stderr)
    for key, tolerance in tolerances.items():
        assert rounding[key] < tolerance / 3, f"{name}: {key} is too ill-conditioned for a tolerance of {tolerance}"


def digested(name, exact, single):
    """What a fixture holds of logits, loss and gradients by name in float64, and how far those in float32 are from them."""
    (logits, loss, gradients), (logits32, loss32, gradients32) = exact, single
    sizes = {name: gradient.numel() for name, gradient in gradients.items()}
    digests = without_rounding({name: digest(name, gradient) for name, gradient in gradients.items()}, sizes)
    digests32 = {name: digest(name, gradient) for name, gradient in gradients32.items()}
    rounding = {
        "logits": np.abs(logits - logits32).max() / np.abs(logits).max(),
        "loss": abs(loss - loss32) / max(1.0, abs(loss)),
        "gradient": worst_relative(digests, digests32, sizes),
    }
    check(name, rounding, {"logits": 1e-5, "loss": 1e-6, "gradient": 1e-4})
    return {"logits": logits, "loss": loss, "gradients": digests, "rounding": rounding}


def plain(value):
    if isinstance(value, dict):
        return {key: plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple, np.ndarray)):
        return [plain(item) for item in value]
    return float(f"{value:.9g}") if isinstance(value, float) else value


def main():
    torch.set_num_threads(2)
    start = time.time()
    fixture = {
        "versions": {"transformers": transformers.__version__, "torch": torch.__version__, "numpy": np.__version__},
        "cases": [run_case(case) for case in cases()],
        "curves": [run_curve(curve) for curve in curves()],
    }
    FIXTURE.write_text(json.dumps(plain(fixture), separators=(",", ":")) + "\n")
    print(f"{fixture['versions']}: {FIXTURE.stat().st_size} bytes in {time.time() - start:.0f} s", file=sys.stderr)


if __name__ == "__main__":
    main()
