"""Writes an adapter that PEFT saved for each of the families beside its model, and lora.json: PEFT's default targets,
what `all-linear` means, and what the adapter computes and how it trains. Run it after families.py; it needs peft too.
"""

import json

import numpy as np
import torch
from families import FAMILIES, FIXTURES, check, forward, inputs_of, load, run_curve, trainer_of, write_json
from lora import plain_name
from peft import LoraConfig, PeftModel, get_peft_model
from peft.utils.constants import TRANSFORMERS_MODELS_TO_LORA_TARGET_MODULES_MAPPING as PEFT_DEFAULTS
from safetensors import safe_open

# Where PEFT knows none.
OWN_TARGETS = {"distilbert": ["q_lin", "v_lin"], "camembert": ["query", "value"], "modernbert": ["Wqkv"],
               "albert": ["query", "value"], "mpnet": ["q", "v"]}  # fmt: skip
STEPS = 5


def attempt(folder, **options):
    """The linear layers that get an adapter and the modules saved whole, or PEFT's message where it refuses."""
    try:
        model = get_peft_model(load(folder, torch.float32), LoraConfig(task_type="SEQ_CLS", r=3, **options))
    except (TypeError, ValueError) as error:
        return {"error": str(error)}
    names = [plain_name(name) for name, _ in model.named_parameters()]
    saved = {plain_name(name) for name, _ in model.named_parameters() if ".modules_to_save." in name}
    return {
        "modules": [name.removesuffix(".lora_A.weight") for name in names if name.endswith(".lora_A.weight")],
        "saved": sorted(saved),
    }


def save_adapter(family, folder, targets):
    """Random A, B and head, on the base beside it."""
    torch.manual_seed(17)
    config = LoraConfig(task_type="SEQ_CLS", r=3, lora_alpha=5, lora_dropout=0.0, target_modules=targets)
    model = get_peft_model(load(folder / "model", torch.float32), config)
    for parameter in model.parameters():
        if parameter.requires_grad:
            torch.nn.init.normal_(parameter, std=0.2)
    model.save_pretrained(folder / "adapter")
    path = folder / "adapter" / "adapter_config.json"
    written = json.loads(path.read_text())
    written.update(base_model_name_or_path="../model", target_modules=sorted(written["target_modules"]))
    path.write_text(json.dumps(written, indent=2, sort_keys=True))
    (folder / "adapter" / "README.md").unlink()
    return written


def with_adapter(folder, dtype, is_trainable=False):
    # Through its file, in float32, as a person loads it; then both halves in the dtype.
    base = load(folder / "model", torch.float32)
    return PeftModel.from_pretrained(base, folder / "adapter", is_trainable=is_trainable).to(dtype)


def logits_of(folder, batch, dtype):
    model = with_adapter(folder, dtype).eval()
    with torch.no_grad():
        return model(**inputs_of(model.config, batch)).logits.double().numpy().ravel()


def step(folder, batch):
    """What is trained, and the loss before any step."""
    model = with_adapter(folder, torch.float64, is_trainable=True).train()
    loss, _ = forward(model, batch)
    return loss.item(), sorted(plain_name(name) for name, p in model.named_parameters() if p.requires_grad)


def run_family(family, batches):
    folder = FIXTURES / family
    model_type = FAMILIES[family]["model_type"]
    targets = OWN_TARGETS.get(model_type) or sorted(PEFT_DEFAULTS[model_type])
    written = save_adapter(family, folder, targets)
    with safe_open(folder / "adapter" / "adapter_model.safetensors", "pt") as file:
        tensors = sorted(file.keys())
    logits, logits32 = (logits_of(folder, batches["single"], dtype) for dtype in (torch.float64, torch.float32))
    rounding = {"logits": np.abs(logits - logits32).max() / np.abs(logits).max()}
    check(f"{family}, adapter", rounding, {"logits": 1e-5})
    loss, trained = step(folder, batches["single"])
    model = with_adapter(folder, torch.float32, is_trainable=True)
    decaying = {plain_name(name) for name in trainer_of(model, 1).get_decay_parameter_names(model)}
    curve = run_curve(
        f"{family}, {STEPS} steps of an adapter",
        lambda dtype: with_adapter(folder, dtype, is_trainable=True).train(),
        batches["curve"][:STEPS],
        digest_name=plain_name,
    )
    return {
        "targets": targets,
        "default": attempt(folder / "model"),
        "chosen": attempt(folder / "model", target_modules=targets),
        "allLinear": attempt(folder / "model", target_modules="all-linear"),
        "rank": written["r"], "alpha": written["lora_alpha"], "modulesToSave": written["modules_to_save"],
        "tensors": tensors, "trained": trained, "decaying": sorted(decaying.intersection(trained)),
        "logits": logits, "loss": loss, "rounding": rounding, "curve": curve,
    }  # fmt: skip


def main():
    torch.set_num_threads(1)
    batches = json.loads((FIXTURES / "batches.json").read_text())
    for family in FAMILIES:
        write_json(FIXTURES / family / "lora.json", run_family(family, batches))


if __name__ == "__main__":
    main()
