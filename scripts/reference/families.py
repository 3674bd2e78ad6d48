"""Writes test/fixtures/families: a tiny classifier of each family as transformers saves it, the other forms that its
checkpoints have, and what transformers computes from them (expected.json of each family).

    python scripts/reference/families.py && python scripts/reference/families_lora.py

As in parity.py results are those of float64 with eager attention, and `rounding` is how far float32 is from them.
"""

import json
import re
import shutil
import tempfile
from pathlib import Path

import numpy as np
import torch
from model import describe
from parity import check, digest, digested, plain, worst_relative
from safetensors.torch import load_file, save_file
from transformers import (
    AutoConfig,
    AutoModel,
    AutoModelForMaskedLM,
    AutoModelForPreTraining,
    AutoModelForSequenceClassification,
    Trainer,
    TrainingArguments,
)
from transformers.models.modernbert import modeling_modernbert


# ModernBERT's rotation and softmax go through float32 even in a model of float64, which makes NaN of padding that a window
# hides altogether.


def rotate(q, k, cos, sin, unsqueeze_dim=1):
    cos, sin = cos.unsqueeze(unsqueeze_dim), sin.unsqueeze(unsqueeze_dim)
    return tuple(x * cos + modeling_modernbert.rotate_half(x) * sin for x in (q, k))


def attend(module, query, key, value, attention_mask, scaling, dropout=0.0, **_):
    scores = query @ key.transpose(2, 3) * scaling
    weights = torch.softmax(scores if attention_mask is None else scores + attention_mask, -1)
    weights = torch.nn.functional.dropout(weights, p=dropout, training=module.training)
    return (weights @ value).transpose(1, 2).contiguous(), weights


modeling_modernbert.apply_rotary_pos_emb = rotate
modeling_modernbert.eager_attention_forward = attend

FIXTURES = Path(__file__).parents[2] / "test" / "fixtures" / "families"
LABELS = ["bad", "so-so", "good"]
SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
STEPS = 20
FIRST_ID = 5  # below are special tokens of one family or another; RoBERTa counts no padding token as a position

SIZES = {"vocab_size": 100, "hidden_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2,
         "intermediate_size": 24, "max_position_embeddings": 40}  # fmt: skip
NO_DROPOUT = {"hidden_dropout_prob": 0.0, "attention_probs_dropout_prob": 0.0}
ROBERTA = {**SIZES, **NO_DROPOUT, "type_vocab_size": 1, "bos_token_id": 0, "eos_token_id": 2, "pad_token_id": 1}
MODERNBERT = {**SIZES, "pad_token_id": 0, "bos_token_id": 1, "eos_token_id": 2, "cls_token_id": 1, "sep_token_id": 2}
DEBERTA = {"relative_attention": True}


def rotary(full, sliding):
    thetas = {"full_attention": full, "sliding_attention": sliding}
    return {kind: {"rope_type": "default", "rope_theta": theta} for kind, theta in thetas.items()}


# Each has a setting that its neighbours have not, so that a value taken from the wrong key or a constant shows: an
# epsilon that matters, positions that begin elsewhere, an activation that is not the head's.
FAMILIES = {
    "bert": {"model_type": "bert", **SIZES, **NO_DROPOUT},
    "roberta": {"model_type": "roberta", **ROBERTA, "layer_norm_eps": 0.01},
    "xlm-roberta": {"model_type": "xlm-roberta", **ROBERTA, "layer_norm_eps": 1e-5, "hidden_act": "gelu_new"},
    "camembert": {"model_type": "camembert", **ROBERTA, "pad_token_id": 3, "type_vocab_size": 2,
                  "classifier_dropout": 0.0},
    "distilbert": {"model_type": "distilbert", "vocab_size": 100, "dim": 16, "n_layers": 2, "n_heads": 2,
                   "hidden_dim": 24, "max_position_embeddings": 40, "dropout": 0.0, "attention_dropout": 0.0,
                   "qa_dropout": 0.0, "seq_classif_dropout": 0.0},
    "electra": {"model_type": "electra", **SIZES, **NO_DROPOUT, "embedding_size": 16, "layer_norm_eps": 0.01,
                "hidden_act": "gelu_new"},
    "electra-projected": {"model_type": "electra", **SIZES, **NO_DROPOUT, "embedding_size": 8, "hidden_act": "silu"},
    # Windows of an odd and an even number of tokens that end within texts, and layers of both types.
    "modernbert": {"model_type": "modernbert", **MODERNBERT, "local_attention": 6, "classifier_activation": "silu",
                   "num_hidden_layers": 3, "layer_types": ["full_attention", "sliding_attention", "full_attention"],
                   "rope_parameters": rotary(50.0, 7.0)},
    "modernbert-mean": {"model_type": "modernbert", **MODERNBERT, "local_attention": 9, "classifier_pooling": "mean",
                        "norm_bias": True, "attention_bias": True, "mlp_bias": True, "classifier_bias": True,
                        "hidden_activation": "silu", "layer_types": ["sliding_attention", "sliding_attention"],
                        "norm_eps": 0.01, "rope_parameters": rotary(160000.0, 3.0)},
    "albert": {"model_type": "albert", **SIZES, **NO_DROPOUT, "classifier_dropout_prob": 0.0, "embedding_size": 8,
               "num_hidden_layers": 3},
    # 10 runs of 4 layers, and groups that do not divide them evenly.
    "albert-groups": {"model_type": "albert", **SIZES, **NO_DROPOUT, "classifier_dropout_prob": 0.0,
                      "embedding_size": 16, "num_hidden_layers": 5, "num_hidden_groups": 2, "inner_group_num": 2,
                      "hidden_act": "silu", "layer_norm_eps": 0.01},
    # Where positions begin does not depend on the padding token, unlike RoBERTa's.
    "mpnet": {"model_type": "mpnet", **SIZES, **NO_DROPOUT, "max_position_embeddings": 200, "pad_token_id": 3,
              "layer_norm_eps": 0.01},
    # As v3: distances of more than 130 tokens share rows.
    "deberta-v2": {"model_type": "deberta-v2", **SIZES, **NO_DROPOUT, **DEBERTA, "max_position_embeddings": 512,
                   "position_buckets": 256, "norm_rel_ebd": "layer_norm", "share_att_key": True,
                   "pos_att_type": ["p2c", "c2p"], "position_biased_input": False, "pooler_hidden_act": "tanh"},
    "deberta-v2-own-keys": {"model_type": "deberta-v2", **SIZES, **NO_DROPOUT, **DEBERTA, "type_vocab_size": 2,
                            "position_buckets": 8, "max_relative_positions": 20, "pos_att_type": "c2p|p2c",
                            "max_position_embeddings": 200, "layer_norm_eps": 0.01, "hidden_act": "gelu_new",
                            "cls_dropout": 0.0},
    "deberta-v2-c2p": {"model_type": "deberta-v2", **SIZES, **NO_DROPOUT, **DEBERTA, "share_att_key": True,
                       "max_relative_positions": 12, "pos_att_type": ["c2p"]},
}  # fmt: skip
# Of random matrices, else 0.2, and of norms, else 1: for gradients with norms above and below 1.
SCALES = {"xlm-roberta": 0.3, "electra-projected": 0.25, "modernbert-mean": 0.12, "albert": 0.15, "mpnet": 0.3,
          "deberta-v2": 0.12, "deberta-v2-own-keys": 0.21}
NORMS = {"modernbert": 0.35, "mpnet": 0.35}
FORMS = ["roberta", "distilbert", "electra-projected", "modernbert", "albert", "mpnet", "deberta-v2"]
PROBLEMS = {"roberta": MULTI, "distilbert": REGRESSION}  # beside the single label that every family has
FULL = r"position_embeddings|token_type|layer\.1\.attention\.(self\.query|q_lin)\.weight|embeddings_project|mapping_in|relative"


def config_of(family, problem=SINGLE):
    labels = {SINGLE: LABELS, MULTI: ["a", "b", "c", "d"], REGRESSION: ["score"]}[problem]
    names = {"id2label": dict(enumerate(labels)), "label2id": {name: i for i, name in enumerate(labels)}}
    return AutoConfig.for_model(**FAMILIES[family], **names, problem_type=problem)


# ---- batches --------------------------------------------------------------------------------------------------------


def batch_of(lengths, index=0):
    """Token ids, the types of pairs, and labels for each problem; shared by all families."""
    random = np.random.default_rng([16, index, *lengths])
    ids = [random.integers(FIRST_ID, SIZES["vocab_size"], length).tolist() for length in lengths]
    types = [[int(at >= (length + 1) // 2) for at in range(length)] for length in lengths]
    rows = range(len(lengths))
    labels = {
        SINGLE: [(2 * row + index + 1) % len(LABELS) for row in rows],
        MULTI: [[float((row * 4 + column) * 5 % 7 < 3) for column in range(4)] for row in rows],
        REGRESSION: [(row * 5 % 17 - 8) / 8 for row in rows],
    }
    return {"ids": ids, "types": types, "labels": labels}


def all_batches():
    random = np.random.default_rng(16)
    lengths = random.integers(1, 31, (STEPS, 8)).tolist()
    lengths[7][2] = 36  # all that a table of 40 rows takes where positions begin at 4, as CamemBERT's do here
    return {
        "single": {**batch_of([3, 9, 21, 30]), "types": None},
        "pairs": batch_of([30, 1, 9, 21, 2], 1),
        "long": {**batch_of([180, 7, 129], 2), "types": None},
        "curve": [batch_of(row, index) for index, row in enumerate(lengths)],
    }


def inputs_of(config, batch):
    """Right-padded tensors with an attention mask; token types where the model has two."""
    ids, types = batch["ids"], batch["types"]
    zeros = torch.zeros(len(ids), max(map(len, ids)), dtype=torch.long)
    inputs = {"input_ids": zeros + config.pad_token_id, "attention_mask": zeros.clone()}
    if types is not None and getattr(config, "type_vocab_size", 0) > 1 and config.model_type in (
        "bert", "electra", "albert", "deberta-v2"):
        inputs["token_type_ids"] = zeros.clone()
    for row, sequence in enumerate(ids):
        inputs["input_ids"][row, : len(sequence)] = torch.tensor(sequence)
        inputs["attention_mask"][row, : len(sequence)] = 1
        if "token_type_ids" in inputs:
            inputs["token_type_ids"][row, : len(sequence)] = torch.tensor(types[row])
    return inputs


def forward(model, batch):
    problem = model.config.problem_type
    labels = torch.tensor(batch["labels"][problem])
    if problem != SINGLE:
        labels = labels.to(model.dtype)
    output = model(**inputs_of(model.config, batch), labels=labels)
    return output.loss, output.logits


# ---- folders --------------------------------------------------------------------------------------------------------


def random_model(auto, config, scale=0.2, norms=1.0):
    """Random biases and norms too, the latter around `norms`: zeros and ones would hide a tensor that was mixed up."""
    model = auto.from_config(config)
    with torch.no_grad():
        for name, parameter in model.named_parameters():
            centre = norms if re.search(r"(LayerNorm|norm)\.weight$", name) else 0.0
            parameter.copy_(centre + torch.randn(parameter.shape) * (scale if parameter.dim() > 1 else 0.2))
    return model.eval()


def rewrite(source, target, rename, extra=()):
    """A folder's copy with other tensor names, and with tensors that our models have no use for."""
    shutil.copytree(source, target)
    path = target / "model.safetensors"
    tensors = {rename(name): tensor for name, tensor in load_file(path).items()}
    save_file({**tensors, **dict(extra)}, path, metadata={"format": "pt"})


def tensorflow_name(name):
    return name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta")


def write_forms(family, folder):
    """The files that a classifier is begun from."""
    config = config_of(family)
    base = random_model(AutoModel, config)
    prefix = base.base_model_prefix + "."
    base.save_pretrained(folder / "base")
    random_model(AutoModelForMaskedLM, config).save_pretrained(folder / "masked-lm")
    if config.model_type in ("electra", "albert"):
        random_model(AutoModelForPreTraining, config).save_pretrained(folder / "pretraining")
    rewrite(folder / "model", folder / "without-prefix", lambda name: name.removeprefix(prefix))
    if config.model_type == "modernbert":
        return  # which had neither a table of positions nor the names of TensorFlow
    positions = {f"{prefix}embeddings.position_ids": torch.arange(40)[None]}
    rewrite(folder / "model", folder / "legacy", tensorflow_name, positions)
    if family == "roberta":
        # As roberta-base was published: a pooler and both names of the tied output layer.
        tensors = load_file(folder / "masked-lm" / "model.safetensors")
        surplus = {
            "lm_head.decoder.weight": tensors["roberta.embeddings.word_embeddings.weight"].clone(),
            "lm_head.decoder.bias": tensors["lm_head.bias"].clone(),
            "roberta.pooler.dense.weight": torch.randn(16, 16),
            "roberta.pooler.dense.bias": torch.randn(16),
        }
        rewrite(folder / "masked-lm", folder / "published", tensorflow_name, {**surplus, **positions})


def read_back(folder):
    """What transformers makes of a checkpoint: the tensors that it takes, and the names that it lacks or ignores."""
    model, info = AutoModelForSequenceClassification.from_pretrained(folder, output_loading_info=True)
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in info["missing_keys"]}
    return {
        "tensors": {name: describe(tensor)["sha256"] for name, tensor in state.items()},
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
    }


def relabelled(folder):
    """What is new where a classifier is loaded for another number of labels."""
    options = {"num_labels": 5, "ignore_mismatched_sizes": True, "output_loading_info": True}
    _, info = AutoModelForSequenceClassification.from_pretrained(folder, **options)
    assert not info["missing_keys"] and not info["unexpected_keys"]
    return sorted(name for name, *_ in info["mismatched_keys"])


# ---- one step -------------------------------------------------------------------------------------------------------


def load(folder, dtype):
    return AutoModelForSequenceClassification.from_pretrained(folder, dtype=dtype, attn_implementation="eager")


def logits_of(folder, batch, dtype):
    model = load(folder, dtype).eval()
    with torch.no_grad():
        return model(**inputs_of(model.config, batch)).logits.double().numpy().ravel()


def step(folder, batch, dtype):
    model = load(folder, dtype).train()
    loss, _ = forward(model, batch)
    loss.backward()
    return loss.item(), {name: parameter.grad for name, parameter in model.named_parameters()}


def run_steps(label, folder, batches):
    """
    Logits in evaluation, and loss and gradients of a training step, for a batch of single texts, one of pairs, and one
    of long texts where the model takes them.
    """
    results = {}
    takes_long = getattr(AutoConfig.from_pretrained(folder), "max_position_embeddings", 0) > 180
    for kind in ("single", "pairs", "long") if takes_long else ("single", "pairs"):
        batch = batches[kind]
        logits, logits32 = (logits_of(folder, batch, dtype) for dtype in (torch.float64, torch.float32))
        loss, gradients = step(folder, batch, torch.float64)
        single = (logits32, *step(folder, batch, torch.float32))
        found = digested(f"{label}, {kind}", (logits, loss, gradients), single)
        names = [name for name in gradients if re.search(FULL, name) and kind != "pairs"]
        full = {name: gradients[name].numpy().ravel() for name in names}
        results[kind] = {**found, "fullGradients": full}
    return results


# ---- 20 steps of AdamW ----------------------------------------------------------------------------------------------

OPTIONS = {"learningRate": 1e-3, "beta1": 0.9, "beta2": 0.999, "epsilon": 1e-8, "weightDecay": 0.01}
MAX_GRAD_NORM = 1.0


def trainer_of(model, steps):
    """Trainer's own optimizer, decay groups and schedule, with its defaults but for the learning rate and the decay."""
    with tempfile.TemporaryDirectory() as folder:
        arguments = TrainingArguments(
            output_dir=folder, use_cpu=True, learning_rate=OPTIONS["learningRate"], weight_decay=OPTIONS["weightDecay"]
        )
        assert (arguments.adam_beta1, arguments.adam_beta2, arguments.adam_epsilon) == (0.9, 0.999, 1e-8)
        assert arguments.max_grad_norm == MAX_GRAD_NORM
        trainer = Trainer(model=model, args=arguments)
        trainer.create_optimizer_and_scheduler(steps)
    return trainer


def train(model, batches, digest_name=lambda name: name):
    """The loop of Trainer without accumulation."""
    trainer = trainer_of(model, len(batches))
    losses, norms, rates = [], [], []
    for batch in batches:
        loss, _ = forward(model, batch)
        loss.backward()
        norms.append(torch.nn.utils.clip_grad_norm_(model.parameters(), MAX_GRAD_NORM).item())
        rates.append(trainer.lr_scheduler.get_last_lr()[0])
        losses.append(loss.item())
        trainer.optimizer.step()
        trainer.lr_scheduler.step()
        trainer.optimizer.zero_grad()
    trained = {digest_name(name): p for name, p in model.named_parameters() if p.requires_grad}
    weights = {name: digest(name, parameter) for name, parameter in trained.items()}
    sizes = {name: parameter.numel() for name, parameter in trained.items()}
    return np.array(losses), np.array(norms), rates, weights, sizes


def run_curve(label, model_in, batches, **options):
    """
    `model_in` makes the model in a dtype. The key's bias moves by rounding only: softmax ignores it, so its gradient is
    zero in exact arithmetic, and AdamW makes a step of the learning rate from whatever is left.
    """
    losses, norms, rates, weights, sizes = train(model_in(torch.float64), batches, **options)
    losses32, norms32, _, weights32, _ = train(model_in(torch.float32), batches, **options)
    trained = {name: stored for name, stored in weights.items() if not re.search(r"(key|k_lin|\.k|key_proj)\.bias$", name)}
    rounding = {
        "loss": (np.abs(losses - losses32) / losses).max(),
        "gradNorm": (np.abs(norms - norms32) / norms).max(),
        "weight": worst_relative(trained, weights32, sizes),
    }
    check(label, rounding, {"loss": 1e-4, "gradNorm": 1e-4, "weight": 1e-4})
    return {"learningRates": rates, "losses": losses, "gradNorms": norms, "weights": trained, "rounding": rounding}


def curve_of(family, folder, batches):
    curve = run_curve(f"{family}, {STEPS} steps", lambda dtype: load(folder, dtype).train(), batches["curve"])
    clipped = int((curve["gradNorms"] > MAX_GRAD_NORM).sum())
    assert 3 <= clipped <= 17, f"{family}: clipping is active on {clipped} of {STEPS} steps"
    return curve


def decaying(folder):
    model = load(folder, torch.float32)
    return sorted(trainer_of(model, 1).get_decay_parameter_names(model))


# ---- dropout --------------------------------------------------------------------------------------------------------

DROPOUTS = {
    "distilbert": {"dropout": 0.11, "attention_dropout": 0.13, "seq_classif_dropout": 0.17, "qa_dropout": 0.19},
    "modernbert": {"attention_dropout": 0.11, "embedding_dropout": 0.13, "mlp_dropout": 0.17, "classifier_dropout": 0.19},
    "albert": {"hidden_dropout_prob": 0.11, "attention_probs_dropout_prob": 0.13, "classifier_dropout_prob": 0.17},
    "mpnet": {"hidden_dropout_prob": 0.11, "attention_probs_dropout_prob": 0.13},
    "deberta-v2": {"hidden_dropout_prob": 0.11, "attention_probs_dropout_prob": 0.13, "pooler_dropout": 0.17,
                   "cls_dropout": 0.19},
    "others": {"hidden_dropout_prob": 0.11, "attention_probs_dropout_prob": 0.13, "classifier_dropout": 0.17},
}


def dropout_calls(config):
    """
    The calls of a training step in order: {"dropout": probability, "module": where}, and among them the linear layers
    of the head, so that it shows on which side of them a dropout is.
    """
    model = AutoModelForSequenceClassification.from_config(config, attn_implementation="eager").train()
    calls, stack = [], []
    for name, module in model.named_modules():
        module.register_forward_pre_hook(lambda *_, name=name: stack.append(name))
        is_head = isinstance(module, torch.nn.Linear) and not re.search(r"layers?\.\d+\.|embedding", name)
        if is_head:
            module.register_forward_hook(lambda *_, name=name: calls.append({"linear": name}))
        module.register_forward_hook(lambda *_: stack.pop() and None)
    original = torch.nn.functional.dropout

    def recorded(values, p=0.5, training=True, inplace=False):
        assert training
        calls.append({"dropout": p, "module": stack[-1]})
        return original(values, p, training, inplace)

    torch.nn.functional.dropout = recorded
    try:
        model(torch.tensor([[5, 6, 7]]))
    finally:
        torch.nn.functional.dropout = original
    return calls


def dropout_cases(family):
    config = FAMILIES[family]
    changes = DROPOUTS.get(config["model_type"], DROPOUTS["others"])
    cases = [changes] if config["model_type"] in DROPOUTS else [changes, {**changes, "classifier_dropout": None}]
    files = [{**config, **case} for case in cases]
    return [{"config": file, "calls": dropout_calls(AutoConfig.for_model(**file))} for file in files]


# ---- config.json ----------------------------------------------------------------------------------------------------

PUBLISHED = {
    "roberta": {
        "architectures": ["RobertaForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514, "model_type": "roberta", "num_attention_heads": 12,
        "num_hidden_layers": 12, "pad_token_id": 1, "type_vocab_size": 1, "vocab_size": 50265,
    },
    "xlm-roberta": {
        "architectures": ["XLMRobertaForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514, "model_type": "xlm-roberta", "num_attention_heads": 12,
        "num_hidden_layers": 12, "output_past": True, "pad_token_id": 1, "position_embedding_type": "absolute",
        "transformers_version": "4.17.0.dev0", "type_vocab_size": 1, "use_cache": True, "vocab_size": 250002,
    },
    "distilbert": {
        "activation": "gelu", "architectures": ["DistilBertForMaskedLM"], "attention_dropout": 0.1, "dim": 768,
        "dropout": 0.1, "hidden_dim": 3072, "initializer_range": 0.02, "max_position_embeddings": 512,
        "model_type": "distilbert", "n_heads": 12, "n_layers": 6, "pad_token_id": 0, "qa_dropout": 0.1,
        "seq_classif_dropout": 0.2, "sinusoidal_pos_embds": False, "tie_weights_": True,
        "transformers_version": "4.10.0.dev0", "vocab_size": 30522,
    },
    "albert": {
        "architectures": ["AlbertForMaskedLM"], "attention_probs_dropout_prob": 0, "bos_token_id": 2,
        "classifier_dropout_prob": 0.1, "down_scale_factor": 1, "embedding_size": 128, "eos_token_id": 3, "gap_size": 0,
        "hidden_act": "gelu_new", "hidden_dropout_prob": 0, "hidden_size": 768, "initializer_range": 0.02,
        "inner_group_num": 1, "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
        "model_type": "albert", "net_structure_type": 0, "num_attention_heads": 12, "num_hidden_groups": 1,
        "num_hidden_layers": 12, "num_memory_blocks": 0, "pad_token_id": 0, "type_vocab_size": 2, "vocab_size": 30000,
    },
    "mpnet": {
        "architectures": ["MPNetForMaskedLM"], "attention_probs_dropout_prob": 0.1, "bos_token_id": 0,
        "eos_token_id": 2, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-05,
        "max_position_embeddings": 514, "model_type": "mpnet", "num_attention_heads": 12, "num_hidden_layers": 12,
        "pad_token_id": 1, "relative_attention_num_buckets": 32, "transformers_version": "4.8.2", "vocab_size": 30527,
    },
    "deberta-v2": {
        "attention_probs_dropout_prob": 0.1, "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768,
        "initializer_range": 0.02, "intermediate_size": 3072, "layer_norm_eps": 1e-7, "max_position_embeddings": 512,
        "max_relative_positions": -1, "model_type": "deberta-v2", "norm_rel_ebd": "layer_norm",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pos_att_type": "p2c|c2p", "position_biased_input": False,
        "position_buckets": 256, "relative_attention": True, "share_att_key": True, "type_vocab_size": 0,
        "vocab_size": 128100,
    },
    "electra": {
        "architectures": ["ElectraForPreTraining"], "attention_probs_dropout_prob": 0.1, "embedding_size": 128,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 256, "initializer_range": 0.02,
        "intermediate_size": 1024, "layer_norm_eps": 1e-12, "max_position_embeddings": 512,
        "model_type": "electra", "num_attention_heads": 4, "num_hidden_layers": 12, "pad_token_id": 0,
        "position_embedding_type": "absolute", "summary_activation": "gelu", "summary_last_dropout": 0.1,
        "summary_type": "first", "summary_use_proj": True, "type_vocab_size": 2, "vocab_size": 30522,
    },
}  # fmt: skip


# ModernBERT-base as it was published, and one by another maker with older keys.
MODERNBERT_FILES = [
    {
        "architectures": ["ModernBertForMaskedLM"], "attention_bias": False, "attention_dropout": 0.0,
        "bos_token_id": 50281, "classifier_activation": "gelu", "classifier_bias": False, "classifier_dropout": 0.0,
        "classifier_pooling": "mean", "cls_token_id": 50281, "decoder_bias": True, "deterministic_flash_attn": False,
        "embedding_dropout": 0.0, "eos_token_id": 50282, "global_attn_every_n_layers": 3, "global_rope_theta": 160000.0,
        "gradient_checkpointing": False, "hidden_activation": "gelu", "hidden_size": 768,
        "initializer_cutoff_factor": 2.0, "initializer_range": 0.02, "intermediate_size": 1152, "layer_norm_eps": 1e-05,
        "local_attention": 128, "local_rope_theta": 10000.0, "max_position_embeddings": 8192, "mlp_bias": False,
        "mlp_dropout": 0.0, "model_type": "modernbert", "norm_bias": False, "norm_eps": 1e-05,
        "num_attention_heads": 12, "num_hidden_layers": 22, "pad_token_id": 50283,
        "position_embedding_type": "absolute", "sep_token_id": 50282, "tie_word_embeddings": True,
        "torch_dtype": "float32", "transformers_version": "4.47.0.dev0", "vocab_size": 50368,
    },
    {"model_type": "modernbert", "num_hidden_layers": 5, "global_attn_every_n_layers": 2, "local_rope_theta": 160000},
    {"model_type": "modernbert", "num_hidden_layers": 1, "rope_parameters": {"full_attention": {"rope_theta": 5e4}},
     "own_key": [1], "num_labels": 1, "problem_type": REGRESSION},
]  # fmt: skip


def written(file):
    """What save_pretrained of the family's classifier writes after reading a config.json."""
    config = AutoConfig.for_model(**json.loads(json.dumps(file)))
    with torch.device("meta"):
        architecture = type(AutoModelForSequenceClassification.from_config(config)).__name__
    config.architectures, config.dtype = [architecture], torch.float32
    return {"file": file, "written": json.loads(config.to_json_string())}


def config_cases(family):
    """The family's defaults, a published config.json, and keys by other names or that are written back as they are."""
    model_type = FAMILIES[family]["model_type"]
    files = [{"model_type": model_type}]
    if model_type in PUBLISHED:
        files.append(PUBLISHED[model_type])
    if model_type == "modernbert":
        files += MODERNBERT_FILES
    elif model_type == "distilbert":
        names = {"hidden_size": 32, "num_attention_heads": 4, "num_hidden_layers": 3}
        files.append({"model_type": model_type, **names, "torch_dtype": "bfloat16", "activation": "relu"})
    else:
        files.append({"model_type": model_type, "classifier_dropout": 0.25, "layer_norm_eps": 1e-7, "own_key": [1],
                      "num_labels": 1, "problem_type": REGRESSION})  # fmt: skip
    return [written(file) for file in files]


# ---- output ---------------------------------------------------------------------------------------------------------


def write_json(path, value):
    path.write_text(json.dumps(plain(value), separators=(",", ":")) + "\n")


def write_family(family, batches):
    folder = FIXTURES / family
    torch.manual_seed(16)
    scale, norms = SCALES.get(family, 0.2), NORMS.get(family, 1.0)
    classifier = random_model(AutoModelForSequenceClassification, config_of(family), scale, norms)
    classifier.save_pretrained(folder / "model")
    problem = PROBLEMS.get(family)
    if problem:
        random_model(AutoModelForSequenceClassification, config_of(family, problem)).save_pretrained(folder / problem)
    if family in FORMS:
        write_forms(family, folder)
    expected = {
        "parameters": [[name, list(p.shape)] for name, p in load(folder / "model", torch.float32).named_parameters()],
        "forms": {path.name: read_back(path) for path in sorted(folder.iterdir()) if path.is_dir()},
        "relabelled": relabelled(folder / "model"),
        "steps": {name: run_steps(f"{family}/{name}", folder / name, batches) for name in ["model", problem] if name},
        "curve": curve_of(family, folder / "model", batches),
        "decaying": decaying(folder / "model"),
        "dropouts": dropout_cases(family),
        "configs": config_cases(family),
    }
    write_json(folder / "expected.json", expected)


def main():
    torch.set_num_threads(1)
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir(parents=True)
    batches = all_batches()
    write_json(FIXTURES / "batches.json", {**batches, "options": OPTIONS, "maxGradNorm": MAX_GRAD_NORM})
    for family in FAMILIES:
        write_family(family, batches)


if __name__ == "__main__":
    main()
