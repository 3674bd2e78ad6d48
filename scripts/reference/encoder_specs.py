"""Writes test/fixtures/encoder-specs.json: logits, loss and gradients of sessions whose specs are no BERT's.

An independent interpreter of src/native/spec.ts in PyTorch, sequence by sequence, in float64 without dropout. It reads the
very specs that the tests hand to the addon, which stand in the fixture. Weights are functions of their names, as in parity.py.
"""

import json
import math
from pathlib import Path

import torch
from parity import digest, hashes, seeded_weight
from torch.nn import functional as F
from transformers.models.mpnet.modeling_mpnet import MPNetEncoder

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "encoder-specs.json"
SCALE = 0.3
HIDDEN, VOCAB, MLP = 16, 40, 20
ACTIVATIONS = {
    "gelu": F.gelu,
    "gelu_tanh": lambda x: F.gelu(x, approximate="tanh"),
    "relu": F.relu,
    "silu": F.silu,
    "tanh": torch.tanh,
}


class Interpreter:
    """The forward pass of a spec over one sequence at a time; `weights` by canonical name."""

    def __init__(self, spec, weights):
        self.spec, self.weights = spec, weights
        self.encoder, self.lora = spec["encoder"], spec.get("lora")

    def linear(self, name, x):
        weight = self.weights[f"{name}.weight"]
        if self.lora:
            for adapter in self.lora["adapters"]:
                if adapter["linear"] != name:
                    continue
                first, last = adapter["firstRow"], adapter["firstRow"] + adapter["rows"]
                update = self.lora["scaling"] * self.weights[adapter["b"]] @ self.weights[adapter["a"]]
                above, below = torch.zeros_like(weight[:first]), torch.zeros_like(weight[last:])
                weight = weight + torch.cat([above, update, below])
        return F.linear(x, weight, self.weights.get(f"{name}.bias"))

    def norm(self, name, x, eps):
        weight = self.weights[f"{name}.weight"]
        return F.layer_norm(x, x.shape[-1:], weight, self.weights.get(f"{name}.bias"), eps)

    def embed(self, ids, types):
        spec = self.encoder["embeddings"]
        table = self.weights["embeddings.words.weight"]
        x = F.embedding(ids, table, padding_idx=spec["padId"])
        if spec["tokenTypes"] > 0:
            x = x + self.weights["embeddings.types.weight"][types]
        if spec["positions"]:
            first = spec["positions"]["first"]
            x = x + self.weights["embeddings.positions.weight"][first : first + len(ids)]
        if spec["norm"]:
            x = self.norm("embeddings.norm", x, spec["norm"]["eps"])
        return self.linear("embeddings.projection", x) if spec["projection"] else x

    def rotated(self, x, theta):
        """Each pair of values as a complex number, times a rotation by its position."""
        half = x.shape[-1] // 2
        angles = torch.arange(x.shape[1])[:, None] * theta ** (-torch.arange(half, dtype=x.dtype) / half)
        turned = torch.complex(x[..., :half], x[..., half:]) * torch.exp(1j * angles)
        return torch.cat([turned.real, turned.imag], -1)

    def attend(self, spec, x):
        layer, heads = spec["parameters"], self.encoder["heads"]
        size = self.encoder["hidden"] // heads
        q, k, v = (
            part.view(len(x), heads, size).transpose(0, 1)
            for part in self.linear(f"{layer}.queryKeyValue", x).chunk(3, dim=1)
        )
        if spec["rotaryTheta"] is not None:
            q, k = self.rotated(q, spec["rotaryTheta"]), self.rotated(k, spec["rotaryTheta"])
        scores, parts = q @ k.transpose(1, 2), 1
        relative = self.encoder["attention"]["relative"] or {"kind": "none"}
        if relative["kind"] == "disentangled":
            added = self.relative_scores(relative, layer, q, k)
            scores, parts = scores + sum(added), 1 + len(added)
        scores = scores / math.sqrt(size * parts)
        if relative["kind"] == "bias":
            rows = torch.arange(len(x))
            buckets = MPNetEncoder.relative_position_bucket(
                rows[None] - rows[:, None], relative["buckets"], relative["maxDistance"]
            )
            scores = scores + self.weights["relativeBias.weight"][buckets].permute(2, 0, 1)
        if spec["window"] is not None:
            rows = torch.arange(len(x))
            scores[:, (rows[:, None] - rows).abs() > spec["window"]] = -math.inf
        context = torch.softmax(scores, -1) @ v
        return self.linear(f"{layer}.attentionOutput", context.transpose(0, 1).reshape(len(x), -1))

    def relative_scores(self, spec, layer, q, k):
        """Of each query i and key j: with the key of the distance i - j, and with its query."""
        heads, tokens, size = q.shape
        table = self.weights["relative.weight"]
        if spec["norm"]:
            table = self.norm("relative.norm", table, spec["norm"]["eps"])
        if spec["shared"]:
            query, key, _ = self.linear(f"{layer}.queryKeyValue", table).chunk(3, dim=1)
        else:
            query = self.linear(f"{layer}.relativeQuery", table) if spec["queries"] else None
            key = self.linear(f"{layer}.relativeKey", table) if spec["keys"] else None
        places = torch.arange(tokens)
        farthest = len(spec["rowOfDistance"]) // 2
        distances = (places[:, None] - places).clamp(-farthest, farthest)
        rows = torch.tensor(spec["rowOfDistance"])[distances + farthest]
        added = []
        if spec["keys"]:
            added.append(torch.einsum("hid,ijhd->hij", q, key.view(-1, heads, size)[rows]))
        if spec["queries"]:
            added.append(torch.einsum("hjd,ijhd->hij", k, query.view(-1, heads, size)[rows]))
        return added

    def feed_forward(self, spec, x):
        layer, mlp = spec["parameters"], self.encoder["mlp"]
        inner = self.linear(f"{layer}.mlpIn", x)
        if mlp["gated"]:
            inner, gate = inner[:, : mlp["width"]], inner[:, mlp["width"] :]
        inner = ACTIVATIONS[mlp["activation"]](inner)
        return self.linear(f"{layer}.mlpOut", inner * gate if mlp["gated"] else inner)

    def encode(self, ids, types):
        x, eps = self.embed(ids, types), self.encoder["norm"]["eps"]
        for spec in self.encoder["layers"]:
            layer = spec["parameters"]
            if self.encoder["order"] == "pre":
                normed = self.norm(f"{layer}.attentionNorm", x, eps) if spec["attentionNorm"] else x
                x = x + self.attend(spec, normed)
                x = x + self.feed_forward(spec, self.norm(f"{layer}.mlpNorm", x, eps))
            else:
                x = self.norm(f"{layer}.attentionNorm", x + self.attend(spec, x), eps)
                x = self.norm(f"{layer}.mlpNorm", x + self.feed_forward(spec, x), eps)
        return self.norm("finalNorm", x, eps) if self.encoder["finalNorm"] else x

    def logits(self, ids, types):
        x = self.encode(ids, types)
        for stage in self.spec["head"]:
            kind, value = next(iter(stage.items()))
            if kind == "pool":
                x = x[:1] if value == "first" else x.mean(0, keepdim=True)
            elif kind == "linear":
                x = self.linear(value, x)
            elif kind == "activation":
                x = ACTIVATIONS[value](x)
            elif kind == "norm":
                x = self.norm(value, x, self.encoder["norm"]["eps"])
        return x


def loss_of(spec, logits, labels, options):
    """The sum of losses; `labels` are class ids or values."""
    if spec["loss"] == "cross_entropy":
        weights = options.get("classWeights")
        return F.cross_entropy(
            logits,
            labels,
            weight=None if weights is None else torch.tensor(weights, dtype=logits.dtype),
            reduction="sum",
            label_smoothing=options.get("labelSmoothing", 0.0),
        )
    if spec["loss"] == "binary_cross_entropy":
        return F.binary_cross_entropy_with_logits(logits, labels, reduction="sum")
    return F.mse_loss(logits, labels, reduction="sum")


def parameter(name, shape, tensors=None, zero_row=None):
    initial = {"kind": "normal", "std": 0.02} if len(shape) > 1 else {"kind": "zeros"}
    if zero_row is not None:
        initial["zeroRow"] = zero_row
    names = tensors or [f"outside.{name}"]
    rows = shape[0] // len(names)
    return {
        "name": name,
        "shape": shape,
        "initialisation": initial,
        "decays": len(shape) > 1,
        "tensors": [{"name": each, "rows": rows} for each in names],
    }


def spec_of(changes):
    """A spec of two layers, with what a case changes, and its parameters."""
    width = changes.get("width", HIDDEN)
    norm = {"eps": 1e-5, "bias": changes.get("normBias", True)}
    bias = changes.get("bias", True)
    embeddings = {
        "width": width,
        "vocab": VOCAB,
        "padId": changes.get("padId", 0),
        "positions": changes.get("positions", {"rows": 24, "first": 0}),
        "tokenTypes": changes.get("tokenTypes", 2),
        "norm": norm if changes.get("embeddingNorm", True) else None,
        "dropout": 0,
        "projection": changes.get("projection", width != HIDDEN),
    }
    layers = changes.get("layers", ["layers.0", "layers.1"])
    plain = {"attentionNorm": True, "window": None, "rotaryTheta": None}
    settings = changes.get("settings", [{}] * len(layers))
    specs = [{"parameters": each, **plain, **own} for each, own in zip(layers, settings, strict=True)]
    gated = changes.get("gated", False)
    relative = changes.get("relative")
    encoder = {
        "hidden": HIDDEN,
        "heads": 2,
        "embeddings": embeddings,
        "attention": {"bias": bias, "dropout": 0, "outputDropout": 0, "relative": relative},
        "mlp": {
            "width": MLP,
            "activation": changes.get("activation", "gelu"),
            "gated": gated,
            "biasIn": bias,
            "biasOut": changes.get("biasOut", bias),
            "innerDropout": 0,
            "outputDropout": 0,
        },
        "order": changes.get("order", "post"),
        "norm": norm,
        "finalNorm": changes.get("finalNorm", False),
        "layers": specs,
    }
    head = changes.get("head", [{"pool": "first"}, {"linear": "dense"}, {"activation": "tanh"}, {"linear": "out"}])
    outputs = changes.get("outputs", 3)

    list_ = []

    def linear(name, out, inputs, has_bias=True, parts=None):
        outside = [f"outside.{part}" for part in parts or [name]]
        list_.append(parameter(f"{name}.weight", [out, inputs], [f"{each}.weight" for each in outside]))
        if has_bias:
            list_.append(parameter(f"{name}.bias", [out], [f"{each}.bias" for each in outside]))

    def layer_norm(name, size):
        # Named so that the seeded weights are about 1.
        list_.append(parameter(f"{name}.weight", [size], [f"outside.{name}.LayerNorm.weight"]))
        if norm["bias"]:
            list_.append(parameter(f"{name}.bias", [size]))

    list_.append(parameter("embeddings.words.weight", [VOCAB, width], zero_row=embeddings["padId"]))
    if embeddings["positions"]:
        list_.append(parameter("embeddings.positions.weight", [embeddings["positions"]["rows"], width]))
    if embeddings["tokenTypes"]:
        list_.append(parameter("embeddings.types.weight", [embeddings["tokenTypes"], width]))
    if embeddings["norm"]:
        layer_norm("embeddings.norm", width)
    if embeddings["projection"]:
        linear("embeddings.projection", HIDDEN, width)
    if relative and relative["kind"] == "bias":
        list_.append(parameter("relativeBias.weight", [relative["buckets"], 2]))
    disentangles = relative is not None and relative["kind"] == "disentangled"
    if disentangles:
        list_.append(parameter("relative.weight", [relative["rows"], HIDDEN]))
        if relative["norm"]:
            layer_norm("relative.norm", HIDDEN)
    for layer, own in {each["parameters"]: each for each in specs}.items():
        parts = [f"{layer}.{part}" for part in ("query", "key", "value")]
        linear(f"{layer}.queryKeyValue", 3 * HIDDEN, HIDDEN, bias, parts)
        if disentangles and not relative["shared"]:
            for part in ("Key", "Query"):
                if relative["keys" if part == "Key" else "queries"]:
                    linear(f"{layer}.relative{part}", HIDDEN, HIDDEN, bias)
        linear(f"{layer}.attentionOutput", HIDDEN, HIDDEN, bias)
        if own["attentionNorm"]:
            layer_norm(f"{layer}.attentionNorm", HIDDEN)
        linear(f"{layer}.mlpIn", 2 * MLP if gated else MLP, HIDDEN, bias)
        linear(f"{layer}.mlpOut", HIDDEN, MLP, encoder["mlp"]["biasOut"])
        layer_norm(f"{layer}.mlpNorm", HIDDEN)
    if encoder["finalNorm"]:
        layer_norm("finalNorm", HIDDEN)
    names = [stage["linear"] for stage in head if "linear" in stage]
    for stage in head:
        if "linear" in stage:
            last = stage["linear"] == names[-1]
            linear(stage["linear"], outputs if last else HIDDEN, HIDDEN, changes.get("headBias", True))
        if "norm" in stage:
            layer_norm(stage["norm"], HIDDEN)
    spec = {"encoder": encoder, "head": head, "loss": changes.get("loss", "cross_entropy"), "parameters": list_}
    if "adapters" in changes:
        adapters = []
        for number, (name, first, rows) in enumerate(changes["adapters"]):
            inputs = next(p["shape"][1] for p in list_ if p["name"] == f"{name}.weight")
            a, b = f"adapter{number}.a", f"adapter{number}.b"
            list_ += [parameter(a, [2, inputs]), parameter(b, [rows, 2])]
            adapters.append({"linear": name, "firstRow": first, "rows": rows, "a": a, "b": b})
        spec["lora"] = {"rank": 2, "scaling": 1.5, "dropout": 0, "adapters": adapters}
    return spec


FULL, LOCAL = {"rotaryTheta": 100.0}, {"rotaryTheta": 10.0, "window": 2}
BIAS = {"kind": "bias", "buckets": 8, "maxDistance": 12}
NO_TABLE = {"positions": None, "tokenTypes": 0}


def disentangled(**changes):
    """Rows of a table of which the distances skip some, and the farthest share one."""
    rows = [1, 1, 2, 3, 5, 6, 7, 8, 8]
    spec = {"kind": "disentangled", "rows": 9, "rowOfDistance": rows, "keys": True, "queries": True, "shared": True,
            "norm": {"eps": 1e-5, "bias": True}, "dropout": 0}  # fmt: skip
    return {**spec, **changes}


TOKENS = [{"linear": "dense"}, {"activation": "gelu"}, {"norm": "headNorm"}, {"linear": "out"}]
CASES = {
    "post-norm, as BERT": {},
    "pre-norm": {"order": "pre", "finalNorm": True},
    "pre-norm without final norm, of tokens": {"order": "pre", "head": TOKENS},
    "no biases at all": {"bias": False, "normBias": False, "headBias": False},
    "no biases, pre-norm, mean": {
        "bias": False,
        "normBias": False,
        "order": "pre",
        "finalNorm": True,
        "head": [{"pool": "mean"}, {"linear": "dense"}, {"activation": "gelu"}, {"norm": "headNorm"}, {"linear": "out"}],
    },
    "a bias on one side of the MLP": {"bias": False, "biasOut": True},
    "a projection from narrow embeddings": {"width": 8},
    "a projection of the same width": {"projection": True},
    "positions from 2 on": {"positions": {"rows": 26, "first": 2}, "padId": 1, "tokenTypes": 1},
    "no positions, no types, no norm, no padding": {
        "positions": None,
        "tokenTypes": 0,
        "embeddingNorm": False,
        "padId": None,
    },
    "the mean of tokens": {"head": [{"pool": "mean"}, {"linear": "out"}]},
    "labels of tokens": {"head": TOKENS},
    "labels of tokens, straight": {"head": [{"linear": "out"}], "outputs": 5},
    "a window": {"settings": [{"window": 1}, {"window": 0}]},
    "rotary positions": {"settings": [FULL, FULL], **NO_TABLE},
    "rotary positions of two kinds, of tokens": {"settings": [FULL, LOCAL], **NO_TABLE, "head": TOKENS},
    "a bias by distance": {"relative": BIAS},
    "a bias by distance, of tokens": {"relative": {**BIAS, "buckets": 4}, "head": TOKENS},
    "a bias by distance, in a window of shared layers, turned": {
        "relative": BIAS,
        "layers": ["layers.0"] * 3,
        "settings": [FULL, LOCAL, FULL],
        "head": TOKENS,
    },
    "a gated MLP": {"gated": True},
    "a gated MLP of another activation": {"gated": True, "activation": "silu", "bias": False},
    "as ModernBERT": {
        "order": "pre",
        "finalNorm": True,
        "bias": False,
        "normBias": False,
        "gated": True,
        "settings": [{**FULL, "attentionNorm": False}, LOCAL],
        **NO_TABLE,
    },
    "adapters of fused layers": {
        "adapters": [("layers.0.queryKeyValue", 0, 48), ("layers.1.queryKeyValue", 0, 48), ("layers.1.mlpIn", 0, 40)],
        "gated": True,
        "settings": [FULL, LOCAL],
    },
    "shared layers": {"layers": ["layers.0"] * 3},
    "shared layers, of tokens": {"layers": ["layers.0", "layers.1", "layers.0"], "head": TOKENS},
    "shared layers, pre-norm": {"layers": ["layers.0"] * 2, "order": "pre", "finalNorm": True},
    "adapters of shared layers": {
        "layers": ["layers.0", "layers.1", "layers.0"],
        "adapters": [("layers.0.queryKeyValue", 0, HIDDEN), ("layers.0.mlpIn", 0, MLP), ("layers.1.mlpOut", 0, HIDDEN)],
        "relative": BIAS,
    },
    "shared layers with other windows and positions, of tokens": {
        "layers": ["layers.0"] * 4,
        "settings": [FULL, LOCAL, {"rotaryTheta": 10.0}, {**LOCAL, "window": 0}],
        **NO_TABLE,
        "head": TOKENS,
    },
    "probabilities": {"labels": "probabilities"},
    "probabilities, smoothed and weighed": {
        "labels": "probabilities",
        "options": {"labelSmoothing": 0.2, "classWeights": [0.5, 2.0, 1.25]},
    },
    "probabilities of tokens": {"labels": "probabilities", "head": TOKENS},
    "soft labels of binary cross-entropy": {"loss": "binary_cross_entropy", "labels": "probabilities"},
    "several values": {"loss": "mean_squared_error", "labels": "values", "outputs": 4},
    "one value": {"loss": "mean_squared_error", "labels": "values", "outputs": 1},
    "values of tokens": {"loss": "mean_squared_error", "labels": "values", "head": TOKENS},
    "relu": {"activation": "relu"},
    "silu, pre-norm": {"activation": "silu", "order": "pre", "finalNorm": True},
    "adapters of the encoder and the head": {
        "adapters": [
            ("layers.0.queryKeyValue", 0, HIDDEN),
            ("layers.0.queryKeyValue", 2 * HIDDEN, HIDDEN),
            ("layers.1.queryKeyValue", 0, HIDDEN),
            ("layers.1.queryKeyValue", HIDDEN, HIDDEN),
            ("layers.1.mlpIn", 0, MLP),
            ("layers.1.mlpOut", 0, HIDDEN),
            ("dense", 0, HIDDEN),
            ("out", 0, 3),
        ]
    },
    "adapters, pre-norm, projection": {
        "order": "pre",
        "finalNorm": True,
        "width": 8,
        "adapters": [("embeddings.projection", 0, HIDDEN), ("layers.1.attentionOutput", 0, HIDDEN)],
    },
}
CASES |= {
    "disentangled attention": {"relative": disentangled(), **NO_TABLE},
    "disentangled attention of all tokens, projections of its own": {
        "relative": disentangled(shared=False, norm=None),
        "head": TOKENS,
    },
    "relative keys alone": {"relative": disentangled(queries=False), "order": "pre", "finalNorm": True},
    "relative queries alone, of tokens": {"relative": disentangled(keys=False, norm=None), "head": TOKENS},
    "relative queries alone, projections of their own": {"relative": disentangled(keys=False, shared=False)},
    "disentangled attention, windows and rotary positions, of tokens": {
        "relative": disentangled(),
        "settings": [FULL, LOCAL],
        **NO_TABLE,
        "head": TOKENS,
    },
    "adapters and disentangled attention": {
        "relative": disentangled(),
        "adapters": [
            ("layers.0.queryKeyValue", 0, HIDDEN),
            ("layers.0.queryKeyValue", HIDDEN, HIDDEN),
            ("layers.1.queryKeyValue", 0, HIDDEN),
            ("layers.1.queryKeyValue", 2 * HIDDEN, HIDDEN),
        ],
    },
    "shared layers with disentangled attention": {"relative": disentangled(), "layers": ["layers.0"] * 3},
}
LENGTHS = [7, 1, 19, 4]


def rounded(values):
    return [float(f"{value:.8g}") for value in values]


def uniform(name, count):
    return (hashes(name, count) % 1000).astype("float64") / 1000


def case_of(name, changes):
    spec = spec_of(changes)
    types = spec["encoder"]["embeddings"]["tokenTypes"]
    tokens = sum(LENGTHS)
    ids = [int(each) % VOCAB for each in hashes(f"{name}.ids", tokens)]
    type_ids = [int(each) % max(types, 1) for each in hashes(f"{name}.types", tokens)]
    pooled = any("pool" in stage for stage in spec["head"])
    rows, outputs = len(LENGTHS) if pooled else tokens, changes.get("outputs", 3)
    kind, options = changes.get("labels", "classes"), changes.get("options", {})
    if kind == "classes":
        labels = [int(each) % outputs for each in hashes(f"{name}.labels", rows)]
        labels[1] = -100
    else:
        labels = torch.tensor(uniform(f"{name}.labels", rows * outputs)).view(rows, outputs)
        if kind == "probabilities" and spec["loss"] == "cross_entropy":
            labels = labels / labels.sum(1, keepdim=True)
        labels = rounded(labels.flatten().tolist())

    weights, tensors = {}, {}
    for each in spec["parameters"]:
        parts = []
        for tensor in each["tensors"]:
            shape = (tensor["rows"], *each["shape"][1:])
            value = torch.as_tensor(seeded_weight(tensor["name"], shape, SCALE)).double().requires_grad_()
            tensors[tensor["name"]] = value
            parts.append(value)
        weights[each["name"]] = torch.cat(parts)
    interpreter = Interpreter(spec, weights)
    starts = [sum(LENGTHS[:i]) for i in range(len(LENGTHS))]
    logits = torch.cat(
        [
            interpreter.logits(torch.tensor(ids[start : start + n]), torch.tensor(type_ids[start : start + n]))
            for start, n in zip(starts, LENGTHS)
        ]
    )
    if kind == "classes":
        target = torch.tensor(labels)
    else:
        target = torch.tensor(labels, dtype=torch.float64).view(rows, outputs)
    loss = loss_of(spec, logits, target, options)
    loss.backward()
    gradients = {each: rounded(digest(each, tensor.grad)) for each, tensor in tensors.items()}
    return {
        "name": name,
        "spec": spec,
        "batch": {"inputIds": ids, "lengths": LENGTHS, **({"tokenTypeIds": type_ids} if types > 0 else {})},
        "labels": labels,
        "isClasses": kind == "classes",
        "options": options,
        "logits": rounded(logits.flatten().tolist()),
        "loss": loss.item(),
        "gradients": gradients,
    }


def main():
    cases = [case_of(name, changes) for name, changes in CASES.items()]
    FIXTURE.write_text(json.dumps({"scale": SCALE, "cases": cases}, separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
