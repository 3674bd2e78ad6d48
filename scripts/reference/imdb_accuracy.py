"""HF Trainer's test accuracy on a CSV with text and label, to hold against `bertune train` with the same settings.

    python scripts/reference/imdb_accuracy.py MODEL_DIR TRAIN.csv TEST.csv SEED [SEED ...]

One epoch, 256 tokens, batch 16, learning rate 5e-5 with linear decay, float32, length-grouped batches (to save time:
the composition of batches is the same idea in bertune's group_by_length). Prints one JSON line a seed.
"""

import json
import sys
import time

import torch
from datasets import load_dataset
from transformers import (
    AutoTokenizer,
    BertForSequenceClassification,
    DataCollatorWithPadding,
    Trainer,
    TrainingArguments,
    set_seed,
)


def main(model_dir: str, train_file: str, test_file: str, seeds: list[int]) -> None:
    torch.set_num_threads(2)
    tokenizer = AutoTokenizer.from_pretrained(model_dir)
    data = load_dataset("csv", data_files={"train": train_file, "test": test_file})
    data = data.map(lambda rows: tokenizer(rows["text"], truncation=True, max_length=256), batched=True)
    for seed in seeds:
        set_seed(seed)
        trainer = Trainer(
            model=BertForSequenceClassification.from_pretrained(model_dir, num_labels=2),
            args=TrainingArguments(
                output_dir="/tmp/bertune-reference",
                num_train_epochs=1,
                per_device_train_batch_size=16,
                per_device_eval_batch_size=32,
                learning_rate=5e-5,
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
            compute_metrics=lambda p: {"accuracy": float((p.predictions.argmax(-1) == p.label_ids).mean())},
        )
        started = time.time()
        trainer.train()
        trained = time.time()
        metrics = trainer.evaluate()
        print(
            json.dumps(
                {
                    "seed": seed,
                    "accuracy": metrics["eval_accuracy"],
                    "train_seconds": trained - started,
                    "eval_seconds": time.time() - trained,
                }
            ),
            flush=True,
        )


if __name__ == "__main__":
    main(*sys.argv[1:4], seeds=[int(seed) for seed in sys.argv[4:]])
