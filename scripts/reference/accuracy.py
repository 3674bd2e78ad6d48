#!/usr/bin/env python3
"""HF Trainer's figures on a labelled CSV, to hold against `bertune train` with the same settings.

    python scripts/reference/accuracy.py --model DIR --train FILE --test FILE --task single|multi|regression
        [--pair] [--label NAME] [--positive LABEL] [--train-rows N] [--test-rows N]
        [--epochs 3] [--batch 16] [--rate 5e-5] [--length 128] [--seeds 1 2 3]

Linear decay without warmup, AdamW, float32, batches by length (to save time; bertune's group_by_length is the same).
Columns: text (or text_a and text_b with --pair) and label (or --label NAME); several labels are joined by |. --positive
adds the F1 of that label, --train-rows and --test-rows take the first N rows. Files may be .gz. Prints one JSON line a seed.
"""

import argparse
import json
import tempfile
import time

import numpy as np
import torch
from datasets import load_dataset
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

PROBLEMS = {
    "single": "single_label_classification",
    "multi": "multi_label_classification",
    "regression": "regression",
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--train", required=True)
    parser.add_argument("--test", required=True)
    parser.add_argument("--task", choices=PROBLEMS, default="single")
    parser.add_argument("--pair", action="store_true")
    parser.add_argument("--label", default="label")
    parser.add_argument("--positive")
    parser.add_argument("--train-rows", type=int)
    parser.add_argument("--test-rows", type=int)
    parser.add_argument("--epochs", type=float, default=3)
    parser.add_argument("--batch", type=int, default=16)
    parser.add_argument("--rate", type=float, default=5e-5)
    parser.add_argument("--length", type=int, default=128)
    parser.add_argument("--seeds", type=int, nargs="+", default=[1, 2, 3])
    return parser.parse_args()


def prepared(options, tokenizer):
    files = {"train": options.train, "test": options.test}
    data = load_dataset("csv", data_files=files, keep_default_na=False)
    for split, rows in (("train", options.train_rows), ("test", options.test_rows)):
        if rows:
            data[split] = data[split].select(range(rows))
    names = sorted({name for label in data["train"][options.label] for name in str(label).split("|")})
    ids = {name: i for i, name in enumerate(names)}

    def label(value):
        if options.task == "regression":
            return float(value)
        if options.task == "single":
            return ids[str(value)]
        row = [0.0] * len(names)
        for name in str(value).split("|"):
            row[ids[name]] = 1.0
        return row

    def encode(rows):
        texts = (rows["text_a"], rows["text_b"]) if options.pair else (rows["text"],)
        encoded = tokenizer(*texts, truncation=True, max_length=options.length)
        return {**encoded, "labels": [label(value) for value in rows[options.label]]}

    columns = data["train"].column_names
    return data.map(encode, batched=True, remove_columns=columns), names


def metrics_of(task, positive):
    def compute(prediction):
        logits, labels = prediction.predictions, prediction.label_ids
        if task == "regression":
            values = logits.squeeze(-1)
            return {"pearson": pearsonr(values, labels)[0], "spearman": spearmanr(values, labels)[0]}
        if task == "multi":
            return {f"f1_{average}": f1_score(labels, logits > 0, average=average) for average in ("micro", "macro")}
        guesses = logits.argmax(-1)
        found = {"accuracy": accuracy_score(labels, guesses), "f1_macro": f1_score(labels, guesses, average="macro")}
        if positive is not None:
            found["f1_positive"] = f1_score(labels, guesses, labels=[positive], average="macro")
        return found

    return lambda prediction: {name: float(np.float64(value)) for name, value in compute(prediction).items()}


def main():
    options = arguments()
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    data, names = prepared(options, tokenizer)
    positive = None if options.positive is None else names.index(options.positive)
    for seed in options.seeds:
        set_seed(seed)
        trainer = Trainer(
            model=BertForSequenceClassification.from_pretrained(
                options.model,
                num_labels=1 if options.task == "regression" else len(names),
                problem_type=PROBLEMS[options.task],
            ),
            args=TrainingArguments(
                output_dir=tempfile.mkdtemp(),
                num_train_epochs=options.epochs,
                per_device_train_batch_size=options.batch,
                per_device_eval_batch_size=32,
                learning_rate=options.rate,
                train_sampling_strategy="group_by_length",
                seed=seed,
                save_strategy="no",
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=data["train"],
            eval_dataset=data["test"],
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=metrics_of(options.task, positive),
        )
        started = time.time()
        trainer.train()
        seconds = time.time() - started
        found = {name.removeprefix("eval_"): value for name, value in trainer.evaluate().items()}
        kept = {name: found[name] for name in ["loss", "accuracy", "f1_macro", "f1_micro", "f1_positive", "pearson", "spearman"] if name in found}
        print(json.dumps({"seed": seed, **kept, "train_seconds": seconds}), flush=True)


if __name__ == "__main__":
    main()
