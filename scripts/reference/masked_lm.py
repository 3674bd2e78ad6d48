"""Writes test/fixtures/masked-lm: a tiny masked language model of each family as transformers saves it, what transformers computes
from it (expected.json).

    python scripts/reference/masked_lm.py

As in families.py results are those of float64 with eager attention, and `rounding` is how far float32 is from them.
"""

import json
from pathlib import Path

import numpy as np
import torch
from families import FAMILIES, NORMS, SCALES, FIRST_ID, inputs_of, random_model
from parity import digested, plain
from safetensors.torch import load_file
from transformers import AutoConfig, AutoModelForMaskedLM

FIXTURES = Path(__file__).parents[2] / "test" / "fixtures" / "masked-lm"
LENGTHS = [3, 9, 21, 30]
IGNORED = -100


def batch_of(config):
    """Random tokens, a fifth of them with a label; the padding token among the labels, since it is a row of the table too."""
    random = np.random.default_rng(20)
    ids = [random.integers(FIRST_ID, config.vocab_size, length).tolist() for length in LENGTHS]
    labels = [[int(random.integers(0, config.vocab_size)) if random.random() < 0.2 else IGNORED for _ in row] for row in ids]
    labels[2][4] = config.pad_token_id
    return {"ids": ids, "types": None, "labels": labels}


def named_as_saved(model, folder):
    """The parameters by their names in the file: of one that is tied, named_parameters() may have another."""
    saved = load_file(folder / "model.safetensors").keys()
    return {name: parameter for name, parameter in model.named_parameters(remove_duplicate=False) if name in saved}


def run(folder, batch, dtype):
    model = AutoModelForMaskedLM.from_pretrained(folder, dtype=dtype, attn_implementation="eager").eval()
    inputs = inputs_of(model.config, batch)
    labels = torch.full(inputs["input_ids"].shape, IGNORED)
    for row, own in enumerate(batch["labels"]):
        labels[row, : len(own)] = torch.tensor(own)
    logits = model(**inputs).logits
    chosen = logits[labels != IGNORED]
    loss = torch.nn.functional.cross_entropy(chosen, labels[labels != IGNORED])
    assert torch.allclose(loss, model(**inputs, labels=labels).loss.to(dtype), rtol=1e-5)
    loss.backward()
    gradients = {name: parameter.grad for name, parameter in named_as_saved(model, folder).items()}
    return chosen.detach().double().numpy().ravel(), loss.item(), gradients, model


def expected_of(family):
    torch.manual_seed(20)
    folder = FIXTURES / family
    config = AutoConfig.for_model(**FAMILIES[family])
    random_model(AutoModelForMaskedLM, config, SCALES.get(family, 0.2), NORMS.get(family, 1.0)).save_pretrained(folder)
    batch = batch_of(config)
    logits, loss, gradients, model = run(folder, batch, torch.float64)
    single = run(folder, batch, torch.float32)[:3]
    return {
        "className": type(model).__name__,
        "parameters": [[name, list(parameter.shape)] for name, parameter in named_as_saved(model, folder).items()],
        "batch": batch,
        **digested(family, (logits, loss, gradients), single),
    }


def main():
    torch.set_num_threads(2)
    FIXTURES.mkdir(exist_ok=True)
    expected = {family: expected_of(family) for family in FAMILIES}
    (FIXTURES / "expected.json").write_text(json.dumps(plain(expected), separators=(",", ":")) + "\n")


if __name__ == "__main__":
    main()
