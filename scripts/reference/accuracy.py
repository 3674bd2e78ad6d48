#!/usr/bin/env python3
"""HF Trainer's figures for a configuration of bertune's, to hold against `bertune train` with the same one.

    cd DATA_FOLDER && python accuracy.py CONFIG.json --model DIR [--seed 1] [--dtype float32|bfloat16]
                                   [--device cpu|cuda] [--threads 2]

CONFIG.json is one of configs/: files, columns and settings are taken from it, so both sides have the same. An option that
this script does not know is refused rather than left out. Prints one JSON line with the metrics of the validation file.
bfloat16 is Trainer's bf16 (autocast). scripts/accuracy.mjs runs both sides in turns.
"""

import argparse
import json
import os
import tempfile
import time
from pathlib import Path

import numpy as np
import torch
from datasets import load_dataset
from scipy.stats import pearsonr, spearmanr
from sklearn.metrics import accuracy_score, f1_score, label_ranking_average_precision_score
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)

SINGLE, MULTI, REGRESSION = "single_label_classification", "multi_label_classification", "regression"
READERS = {".csv": "csv", ".jsonl": "json", ".parquet": "parquet"}
# What a configuration may hold, with what it means where it is left out. `model`, `outputDir` and `saveStrategy` concern
# bertune alone.
DEFAULTS = {
    "model": None,
    "outputDir": None,
    "saveStrategy": "no",
    "trainFile": None,
    "validationFile": None,
    "textColumn": "text",
    "textPairColumn": None,
    "labelColumn": "label",
    "labelDelimiter": "|",
    "problemType": SINGLE,
    "maxTrainSamples": None,
    "maxEvalSamples": None,
    "maxSeqLength": 512,
    "numTrainEpochs": 3,
    "perDeviceTrainBatchSize": 8,
    "perDeviceEvalBatchSize": 8,
    "learningRate": 5e-5,
    "trainSamplingStrategy": "random",
}


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("config", type=Path)
    parser.add_argument("--model", required=True)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--device", choices=["cpu", "cuda"], default="cpu")
    parser.add_argument("--threads", type=int, default=os.cpu_count())
    return parser.parse_args()


def settings_of(path):
    given = json.loads(path.read_text())
    unknown = sorted(given.keys() - DEFAULTS.keys())
    if unknown:
        raise SystemExit(f"{path}: this script does not know {', '.join(unknown)}")
    return DEFAULTS | given


def rows_of(path, limit):
    ending = next(suffix for suffix in Path(path).suffixes if suffix in READERS)
    kwargs = {"keep_default_na": False} if ending == ".csv" else {}
    rows = load_dataset(READERS[ending], data_files=path, split="train", **kwargs)
    return rows if limit is None else rows.select(range(limit))


def prepared(settings, tokenizer):
    """Both splits with token ids and labels, and the number of labels."""
    train = rows_of(settings["trainFile"], settings["maxTrainSamples"])
    test = rows_of(settings["validationFile"], settings["maxEvalSamples"])
    problem, column = settings["problemType"], settings["labelColumn"]
    texts = [settings["textColumn"], settings["textPairColumn"]]

    def parts(value):
        return str(value).split(settings["labelDelimiter"]) if problem == MULTI else [str(value)]

    names = sorted({name for rows in (train, test) for value in rows[column] for name in parts(value)})
    ids = {name: i for i, name in enumerate(names)}

    def label(value):
        if problem == REGRESSION:
            return float(value)
        if problem == SINGLE:
            return ids[str(value)]
        row = [0.0] * len(names)
        for name in parts(value):
            row[ids[name]] = 1.0
        return row

    def encode(rows):
        columns = [rows[name] for name in texts if name is not None]
        encoded = tokenizer(*columns, truncation=True, max_length=settings["maxSeqLength"])
        return {**encoded, "labels": [label(value) for value in rows[column]]}

    splits = [rows.map(encode, batched=True, remove_columns=rows.column_names) for rows in (train, test)]
    return *splits, 1 if problem == REGRESSION else len(names)


def metrics_of(problem):
    def compute(prediction):
        logits, labels = prediction.predictions, prediction.label_ids
        if problem == REGRESSION:
            values = logits.squeeze(-1)
            return {"pearson": pearsonr(values, labels)[0], "spearman": spearmanr(values, labels)[0]}
        if problem == MULTI:
            f1 = {f"f1_{average}": f1_score(labels, logits > 0, average=average) for average in ("micro", "macro")}
            return {**f1, "label_ranking_average_precision": label_ranking_average_precision_score(labels, logits)}
        guesses = logits.argmax(-1)
        return {"accuracy": accuracy_score(labels, guesses), "f1_macro": f1_score(labels, guesses, average="macro")}

    return lambda prediction: {name: float(np.float64(value)) for name, value in compute(prediction).items()}


def main():
    options = arguments()
    settings = settings_of(options.config)
    torch.set_num_threads(options.threads)
    tokenizer = AutoTokenizer.from_pretrained(options.model)
    train, test, num_labels = prepared(settings, tokenizer)
    set_seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=BertForSequenceClassification.from_pretrained(
                options.model, num_labels=num_labels, problem_type=settings["problemType"]
            ),
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=settings["numTrainEpochs"],
                per_device_train_batch_size=settings["perDeviceTrainBatchSize"],
                per_device_eval_batch_size=settings["perDeviceEvalBatchSize"],
                learning_rate=settings["learningRate"],
                train_sampling_strategy=settings["trainSamplingStrategy"],
                seed=options.seed,
                bf16=options.dtype == "bfloat16",
                save_strategy="no",
                use_cpu=options.device == "cpu",
                disable_tqdm=True,
            ),
            train_dataset=train,
            eval_dataset=test,
            processing_class=tokenizer,
            data_collator=DataCollatorWithPadding(tokenizer),
            compute_metrics=metrics_of(settings["problemType"]),
        )
        started = time.time()
        trained = trainer.train()
        seconds = time.time() - started
        found = trainer.evaluate()
    print(json.dumps({**found, "train_loss": trained.training_loss, "train_runtime": seconds}), flush=True)


if __name__ == "__main__":
    main()
