"""HF Trainer's side of `npm run bench -- --compare`: does one job in a fresh process, prints its result as a JSON line.

    python scripts/reference/bench.py '{"task": "versions"}'
    python scripts/reference/bench.py '{"task": "train", "encoded": "rows.json", "style": "best", "dtype": "bfloat16",
                                        "batchSize": 8, "threads": 2}'

`encoded` is a file with the model's config.json, the token ids of every row, and the labels, as bertune wrote it.
Styles: `best` = batches of like lengths (group_by_length), padded to the longest of the batch, fused AdamW;
`tutorial` = Trainer's defaults, every row padded to 512. One step of a model of the same shape comes first and is not
counted; then one epoch of a new model, trainer.train() alone.
"""

import json
import platform
import resource
import sys
import tempfile
import time
from functools import partial

import torch
import transformers
from transformers import (
    BertConfig,
    BertForSequenceClassification,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

STYLES = {
    "best": {"train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"},
    "tutorial": {},
}
PADDED_LENGTH = 512
SEED = 42


def collate(rows: list[dict], length: int | None) -> dict:
    """Pads to `length`, or to the longest row."""
    length = length or max(len(row["input_ids"]) for row in rows)
    ids = torch.zeros(len(rows), length, dtype=torch.long)
    mask = torch.zeros_like(ids)
    for i, row in enumerate(rows):
        size = len(row["input_ids"])
        ids[i, :size] = torch.tensor(row["input_ids"])
        mask[i, :size] = 1
    return {"input_ids": ids, "attention_mask": mask, "labels": torch.tensor([row["labels"] for row in rows])}


def train_once(job: dict, data: dict, folder: str, max_steps: int) -> float:
    """Trains a new model; returns the seconds of trainer.train()."""
    set_seed(SEED)
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(data["ids"], data["labels"])]
    trainer = Trainer(
        model=BertForSequenceClassification(BertConfig.from_dict(data["config"])),
        args=TrainingArguments(
            output_dir=folder,
            num_train_epochs=1,
            max_steps=max_steps,
            per_device_train_batch_size=job["batchSize"],
            learning_rate=5e-5,
            max_grad_norm=1.0,
            bf16=job["dtype"] == "bfloat16",
            seed=SEED,
            use_cpu=True,
            save_strategy="no",
            logging_strategy="no",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            **STYLES[job["style"]],
        ),
        train_dataset=rows,
        data_collator=partial(collate, length=PADDED_LENGTH if job["style"] == "tutorial" else None),
    )
    trainer.remove_callback(PrinterCallback)
    started = time.perf_counter()
    trainer.train()
    return time.perf_counter() - started


def train(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    with open(job["encoded"], encoding="utf-8") as file:
        data = json.load(file)
    with tempfile.TemporaryDirectory(prefix="bertune-bench-") as folder:
        train_once(job, data, folder, max_steps=1)
        seconds = train_once(job, data, folder, max_steps=-1)
    return {
        "seconds": seconds,
        "tokens": sum(len(ids) for ids in data["ids"]),
        "peakBytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        "dtype": job["dtype"],
    }


def versions() -> dict:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main(job: dict) -> None:
    result = train(job) if job["task"] == "train" else versions()
    print(json.dumps(result))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
