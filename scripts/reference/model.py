"""Writes test/fixtures/model: tiny BERT checkpoints in every form that Hugging Face has used, and what
transformers itself reads from them (expected.json). Needs torch 2.13 and transformers 5.18.

    python scripts/reference/model.py
"""

import hashlib
import json
import shutil
from pathlib import Path

import torch
from safetensors.torch import load_file, save_file
from transformers import (
    BertConfig,
    BertForMaskedLM,
    BertForPreTraining,
    BertForSequenceClassification,
    BertModel,
)

FIXTURES = Path(__file__).parents[2] / "test" / "fixtures" / "model"
IDS = [[2, 5, 9, 3], [2, 29, 17, 4, 11, 6, 3]]


def tiny_config() -> BertConfig:
    labels = ["bad", "so-so", "good"]
    return BertConfig(
        vocab_size=30,
        hidden_size=8,
        num_hidden_layers=2,
        num_attention_heads=2,
        intermediate_size=12,
        max_position_embeddings=16,
        id2label=dict(enumerate(labels)),
        label2id={name: i for i, name in enumerate(labels)},
        problem_type="single_label_classification",
    )


def randomised(model: torch.nn.Module) -> torch.nn.Module:
    """Random values everywhere: biases of zero and norms of one would hide a tensor that was mixed up."""
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.copy_(torch.randn(parameter.shape) * 0.2)
    return model.eval()


def to_tensorflow_names(directory: Path) -> None:
    """Rewrites a checkpoint as the first conversions from TensorFlow had it."""
    path = directory / "model.safetensors"
    tensors = {
        name.replace("LayerNorm.weight", "LayerNorm.gamma").replace("LayerNorm.bias", "LayerNorm.beta"): tensor
        for name, tensor in load_file(path).items()
    }
    tensors["bert.embeddings.position_ids"] = torch.arange(16)[None]
    save_file(tensors, path, metadata={"format": "pt"})


def write_checkpoints() -> None:
    config = tiny_config()
    classifier = randomised(BertForSequenceClassification(config))
    classifier.save_pretrained(FIXTURES / "float32")
    classifier.save_pretrained(FIXTURES / "sharded", max_shard_size="4KB")
    classifier.save_pretrained(FIXTURES / "gamma-beta")
    to_tensorflow_names(FIXTURES / "gamma-beta")
    BertForSequenceClassification.from_pretrained(FIXTURES / "float32").half().save_pretrained(FIXTURES / "float16")
    BertForSequenceClassification.from_pretrained(FIXTURES / "float32").bfloat16().save_pretrained(
        FIXTURES / "bfloat16"
    )
    randomised(BertModel(config)).save_pretrained(FIXTURES / "base")
    randomised(BertModel(config, add_pooling_layer=False)).save_pretrained(FIXTURES / "base-without-pooler")
    randomised(BertForMaskedLM(config)).save_pretrained(FIXTURES / "masked-lm")
    randomised(BertForPreTraining(config)).save_pretrained(FIXTURES / "pretraining")
    to_tensorflow_names(FIXTURES / "pretraining")


def describe(tensor: torch.Tensor) -> dict:
    data = tensor.contiguous().reshape(-1).view(torch.uint8).numpy().tobytes() if tensor.numel() else b""
    return {"shape": list(tensor.shape), "sha256": hashlib.sha256(data).hexdigest()}


def read_back(directory: Path) -> dict:
    """What transformers makes of a checkpoint, in the dtype of its file."""
    model, info = BertForSequenceClassification.from_pretrained(directory, dtype="auto", output_loading_info=True)
    state = {name: tensor for name, tensor in model.state_dict().items() if name not in info["missing_keys"]}
    return {
        "dtype": str(model.dtype),
        "tensors": {name: describe(tensor) for name, tensor in state.items()},
        "missing": sorted(info["missing_keys"]),
        "unexpected": sorted(info["unexpected_keys"]),
    }


def write_all_dtypes() -> dict:
    """One file with every dtype that torch can save, odd names, a scalar and an empty tensor."""
    raw = torch.arange(1, 33, dtype=torch.uint8)
    dtypes = [
        torch.uint8, torch.int8, torch.float8_e5m2, torch.float8_e4m3fn, torch.float8_e8m0fnu,
        torch.float8_e4m3fnuz, torch.float8_e5m2fnuz, torch.int16, torch.uint16, torch.float16, torch.bfloat16,
        torch.int32, torch.uint32, torch.float32, torch.complex64, torch.float64, torch.int64, torch.uint64,
    ]  # fmt: skip
    tensors = {f"tensor {10 - i}": raw.view(dtype).clone() for i, dtype in enumerate(dtypes)}
    tensors["flags"] = torch.tensor([True, False, True])
    tensors["scalar"] = torch.tensor(1.5)
    tensors["empty"] = torch.zeros(0, 3)
    tensors['odd "name"\n\x01é'] = torch.ones(1)
    tensors["7"] = torch.full((2, 3), 7.0)
    save_file(tensors, FIXTURES / "all-dtypes.safetensors", metadata={"format": "pt"})
    return {name: describe(tensor) for name, tensor in tensors.items()}


def config_cases() -> list[dict]:
    """config.json files as found in the wild, and what transformers writes after reading them."""
    tiny = dict(vocab_size=30, hidden_size=8, num_hidden_layers=1, num_attention_heads=2, intermediate_size=16)
    bert_base_uncased = {
        "architectures": ["BertForMaskedLM"], "attention_probs_dropout_prob": 0.1, "gradient_checkpointing": False,
        "hidden_act": "gelu", "hidden_dropout_prob": 0.1, "hidden_size": 768, "initializer_range": 0.02,
        "intermediate_size": 3072, "layer_norm_eps": 1e-12, "max_position_embeddings": 512, "model_type": "bert",
        "num_attention_heads": 12, "num_hidden_layers": 12, "pad_token_id": 0,
        "position_embedding_type": "absolute", "transformers_version": "4.6.0.dev0", "type_vocab_size": 2,
        "use_cache": True, "vocab_size": 30522,
    }  # fmt: skip
    names = [f"class {i}" for i in range(11)]
    inputs = [
        {},
        bert_base_uncased,
        {**tiny, "hidden_act": "gelu_new", "torch_dtype": "bfloat16", "_name_or_path": "somewhere"},
        {**tiny, "num_labels": 1, "problem_type": "regression", "classifier_dropout": 0.25},
        {**tiny, "num_labels": 4, "problem_type": "multi_label_classification", "pad_token_id": None},
        {**tiny, "id2label": {"0": "neg", "1": "pos"}, "label2id": {"neg": 0, "pos": 1}, "type_vocab_size": 1},
        {**tiny, "id2label": dict(enumerate(names)), "label2id": {name: i for i, name in enumerate(names)}},
        {**tiny, "layer_norm_eps": 1e-7, "initializer_range": 0.05, "hidden_dropout_prob": 0, "eos_token_id": [1, 2]},
    ]
    cases = []
    for file in inputs:
        config = BertConfig.from_dict(json.loads(json.dumps(file)))
        config.architectures = ["BertForSequenceClassification"]
        config.dtype = torch.float32
        cases.append({"file": file, "written": json.loads(config.to_json_string())})
    return cases


def main() -> None:
    shutil.rmtree(FIXTURES, ignore_errors=True)
    FIXTURES.mkdir(parents=True)
    torch.manual_seed(0)
    write_checkpoints()
    expected = {path.name: read_back(path) for path in sorted(FIXTURES.iterdir())}
    model = BertForSequenceClassification.from_pretrained(FIXTURES / "float32").eval()
    with torch.no_grad():
        logits = [model(torch.tensor([ids])).logits[0].tolist() for ids in IDS]
    result = {
        "parameters": [[name, list(parameter.shape)] for name, parameter in model.named_parameters()],
        "checkpoints": expected,
        "logits": {"ids": IDS, "float32": logits},
        "allDtypes": write_all_dtypes(),
        "configs": config_cases(),
    }
    (FIXTURES / "expected.json").write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
