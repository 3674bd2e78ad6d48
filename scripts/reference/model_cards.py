"""Writes test/fixtures/model-cards.json: metadata of model cards as huggingface_hub's ModelCardData has them, metrics named
as transformers' Trainer.create_model_card names them, and what PyYAML makes of texts and numbers without quotes.

    python scripts/reference/model_cards.py          writes the fixture
    python scripts/reference/model_cards.py CARD...  prints what ModelCard.load finds in each card, as JSON
    python scripts/reference/model_cards.py --save CARD    loads a card and saves it again, as metadata_update does
"""

import json
import sys
from pathlib import Path

import huggingface_hub
import yaml
from huggingface_hub import EvalResult, ModelCard, ModelCardData

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "model-cards.json"
TASK = "text-classification"

# Metrics of hf.co/metrics that have the same value, with the arguments of their compute().
HUB_METRICS = {
    "accuracy": ("accuracy", None),
    "subset_accuracy": ("accuracy", None),
    **{
        f"{name}_{average}": (name, {"average": average})
        for name in ("precision", "recall", "f1")
        for average in ("macro", "micro", "weighted")
    },
    "matthews_correlation": ("matthews_correlation", None),
    "roc_auc": ("roc_auc", None),
    "mse": ("mse", None),
    "rmse": ("mse", {"squared": False}),
    "mae": ("mae", None),
    "r2": ("r_squared", None),
    "pearson": ("pearsonr", None),
    "spearman": ("spearmanr", None),
}
TIMES = {"eval_runtime": 1.5, "eval_samples": 200, "eval_samples_per_second": 133.0, "eval_steps_per_second": 16.6, "epoch": 3.0}

CASES = {
    "a data set of the hub": {
        "metrics": {
            "eval_loss": 0.21, "eval_accuracy": 0.9312, "eval_balanced_accuracy": 0.93, "eval_f1_macro": 1 / 3,
            "eval_f1_micro": 0.9312, "eval_precision_weighted": 5e-7, "eval_matthews_correlation": -0.25, "eval_roc_auc": 1,
        },
        "data": {"dataset_type": "nyu-mll/glue", "dataset_name": "nyu-mll/glue", "dataset_config": "sst2", "dataset_split": "validation"},
        "card": {
            "library_name": "transformers", "language": ["en", "no"], "license": "apache-2.0",
            "base_model": "google-bert/bert-base-uncased", "tags": ["bertune"], "datasets": ["nyu-mll/glue"],
            "pipeline_tag": TASK,
        },
    },
    "an adapter, a regression, a file": {
        "metrics": {"eval_loss": 0.5, "eval_mse": 0.5, "eval_rmse": 0.707, "eval_mae": 0.6, "eval_r2": -2, "eval_pearson": 0.8, "eval_spearman": 0.79},
        "data": {"dataset_type": "unknown", "dataset_name": "dev.csv"},
        "card": {
            "library_name": "peft", "base_model": "FacebookAI/roberta-base",
            "tags": ["base_model:adapter:FacebookAI/roberta-base", "bertune", "lora", "transformers"], "pipeline_tag": TASK,
        },
    },
    "several labels, random weights": {
        "metrics": {"eval_loss": 0.3, "eval_subset_accuracy": 0.5, "eval_hamming_loss": 0.1, "eval_recall_macro": 0.25},
        "data": {"dataset_type": "unknown", "dataset_name": "a.jsonl, b.jsonl"},
        "card": {"library_name": "transformers", "tags": ["bertune"], "pipeline_tag": TASK},
    },
    "not evaluated": {
        "metrics": None,
        "data": None,
        "card": {"library_name": "transformers", "base_model": "bert-base-uncased", "tags": ["bertune"], "pipeline_tag": TASK},
    },
}  # fmt: skip

TEXTS = [
    "no", "No", "on", "y", "yes", "null", "~", "true", "1e3", "1.5e3", "12:30:00", "2024-01-01", "0x1F", "0o17", "017", "1_000", "=",
    "<<", ".5", ".inf", ".nan", "1.0", "-", "- a", "a: b", "a #b", "#a", "@a", "`a", "%a", "&a", "*a", "!a", "|", ">", "[a]", "{a}", "a,b",
    "en", "apache-2.0", "bert-base-uncased", "nyu-mll/glue", "dev.csv", "F1 Macro", "a.jsonl, b.jsonl", "\u00e9t\u00e9.csv", "'a'", '"a"',
    " a", "a ", "a:", "?", "a\\b",
]  # fmt: skip
NUMBERS = ["5e-7", "5.0e-7", "5e-07", "1.5e-7", "0.3333333333333333", "1", "-0.25", "0", "1e21", "1.0e+21", "1.0e21"]


def named(metrics):
    """By the names that Trainer.create_model_card gives them."""
    from transformers.modelcard import parse_log_history  # takes seconds, and is needed for the fixture only

    _, _, results = parse_log_history([{"train_runtime": 1.0}, {**metrics, **TIMES}])
    plain = [name.removeprefix("eval_") for name in metrics]
    titles = list(results)
    return {name: (title, results[title]) for name, title in zip(plain, titles, strict=False)}


def expected(case):
    from transformers.modelcard import TASK_TAG_TO_NAME_MAPPING

    card = dict(case["card"])
    if case["metrics"] is not None:
        found = {name: value for name, value in named(case["metrics"]).items() if name in HUB_METRICS}
        results = [
            EvalResult(
                task_type=TASK, task_name=TASK_TAG_TO_NAME_MAPPING[TASK], **case["data"], metric_type=HUB_METRICS[name][0],
                metric_args=HUB_METRICS[name][1], metric_name=title, metric_value=value,
            )
            for name, (title, value) in found.items()
        ]  # fmt: skip
        card["metrics"] = list(dict.fromkeys(HUB_METRICS[name][0] for name in found))
        card.update(model_name="out", eval_results=results)
    return ModelCardData(**card).to_dict()


def reads(text):
    """What PyYAML makes of a value without quotes, as JSON; null where it is no text or number that JSON has."""
    try:
        value = yaml.safe_load(f"key: {text}\n")["key"]
    except (yaml.YAMLError, TypeError, KeyError):
        return None
    return value if isinstance(value, (str, int, float)) and not isinstance(value, bool) and value == value else None


def main():
    if sys.argv[1:2] == ["--save"]:
        ModelCard.load(sys.argv[2]).save(sys.argv[2])
    elif len(sys.argv) > 1:
        cards = [ModelCard.load(path) for path in sys.argv[1:]]
        print(json.dumps([{"metadata": card.data.to_dict(), "text": card.text} for card in cards]))
    else:
        import transformers

        fixture = {
            "generator": f"huggingface_hub {huggingface_hub.__version__}, transformers {transformers.__version__}, PyYAML {yaml.__version__}",
            "cases": {
                name: {"metrics": case["metrics"] and {**case["metrics"], **TIMES}, "data": case["data"], "expected": expected(case)}
                for name, case in CASES.items()
            },
            "texts": {text: reads(text) == text for text in TEXTS},
            "numbers": {text: isinstance(reads(text), (int, float)) for text in NUMBERS},
        }  # fmt: skip
        FIXTURE.write_text(json.dumps(fixture, indent=1) + "\n")


if __name__ == "__main__":
    main()
