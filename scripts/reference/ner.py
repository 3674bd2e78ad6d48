#!/usr/bin/env python3
"""Entity F1 of HF Trainer on CoNLL files, to hold against `bertune train` with the same options.

    python ner.py --model DIR --train-file FILE --validation-file FILE [--text-column 1] [--label-column -1] ...

As run_ner.py of transformers: the first token of a word has its label, the others none; F1 is seqeval's. Prints one JSON line.
bfloat16 is Trainer's bf16 (autocast). scripts/accuracy/ner.mjs runs both sides in turns.
"""

import argparse
import json
import tempfile
from pathlib import Path

import torch
from datasets import Dataset
from seqeval.metrics import accuracy_score, f1_score, precision_score, recall_score
from transformers import (
    AutoModelForTokenClassification,
    AutoTokenizer,
    DataCollatorForTokenClassification,
    Trainer,
    TrainingArguments,
    set_seed,
)


def arguments():
    parser = argparse.ArgumentParser()
    parser.add_argument("--model", required=True)
    parser.add_argument("--train-file", type=Path, required=True)
    parser.add_argument("--validation-file", type=Path, required=True)
    parser.add_argument("--text-column", type=int, default=1)
    parser.add_argument("--label-column", type=int, default=-1)
    parser.add_argument("--max-train-samples", type=int)
    parser.add_argument("--max-eval-samples", type=int)
    parser.add_argument("--num-train-epochs", type=float, default=3)
    parser.add_argument("--learning-rate", type=float, default=5e-5)
    parser.add_argument("--per-device-train-batch-size", type=int, default=8)
    parser.add_argument("--per-device-eval-batch-size", type=int, default=8)
    parser.add_argument("--max-seq-length", type=int, default=512)
    parser.add_argument("--dtype", choices=["float32", "bfloat16"], default="float32")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--threads", type=int, default=torch.get_num_threads())
    return parser.parse_args()


def sentences(path, options, limit):
    """Words and labels of each sentence; columns are separated by tabs where a line has one, else by blanks."""
    token, label = (n - 1 if n > 0 else n for n in (options.text_column, options.label_column))
    found, current = [], []
    for line in [*path.read_text(encoding="utf-8").split("\n"), ""]:
        if line.strip() == "" or line.startswith("-DOCSTART-"):
            if current:
                found.append(current)
            current = []
            continue
        cells = line.split("\t") if "\t" in line else line.split()
        current.append((cells[token].strip(), cells[label].strip()))
    return found[:limit]


def main():
    options = arguments()
    torch.set_num_threads(options.threads)
    splits = [
        sentences(options.train_file, options, options.max_train_samples),
        sentences(options.validation_file, options, options.max_eval_samples),
    ]
    names = sorted({label for rows in splits for row in rows for _, label in row})
    ids = {name: i for i, name in enumerate(names)}
    tokenizer = AutoTokenizer.from_pretrained(options.model)

    def encoded(rows):
        words = [[word for word, _ in row] for row in rows]
        encodings = tokenizer(words, is_split_into_words=True, truncation=True, max_length=options.max_seq_length)
        labels = []
        for i, row in enumerate(rows):
            of_tokens, before = [], None
            for word in encodings.word_ids(i):
                of_tokens.append(-100 if word is None or word == before else ids[row[word][1]])
                before = word
            labels.append(of_tokens)
        return Dataset.from_dict({**encodings, "labels": labels})

    def metrics(prediction):
        gold, found = [], []
        for logits, labels in zip(prediction.predictions, prediction.label_ids):
            counted = labels != -100
            gold.append([names[i] for i in labels[counted]])
            found.append([names[i] for i in logits.argmax(-1)[counted]])
        scores = {"f1": f1_score, "precision": precision_score, "recall": recall_score, "accuracy": accuracy_score}
        return {name: float(score(gold, found)) for name, score in scores.items()}

    train, validation = map(encoded, splits)
    set_seed(options.seed)
    with tempfile.TemporaryDirectory() as folder:
        trainer = Trainer(
            model=AutoModelForTokenClassification.from_pretrained(options.model, num_labels=len(names)),
            args=TrainingArguments(
                output_dir=folder,
                num_train_epochs=options.num_train_epochs,
                per_device_train_batch_size=options.per_device_train_batch_size,
                per_device_eval_batch_size=options.per_device_eval_batch_size,
                learning_rate=options.learning_rate,
                seed=options.seed,
                bf16=options.dtype == "bfloat16",
                save_strategy="no",
                use_cpu=True,
                disable_tqdm=True,
            ),
            train_dataset=train,
            eval_dataset=validation,
            processing_class=tokenizer,
            data_collator=DataCollatorForTokenClassification(tokenizer),
            compute_metrics=metrics,
        )
        trainer.train()
        print(json.dumps(trainer.evaluate()), flush=True)


if __name__ == "__main__":
    main()
