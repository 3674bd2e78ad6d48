"""HF Trainer's side of `npm run bench -- --compare`: does one job in a fresh process, prints its result as a JSON line.

    python scripts/reference/bench.py '{"task": "versions"}'
    python scripts/reference/bench.py '{"task": "train", "encoded": "rows.json", "style": "best", "dtype": "bfloat16",
                                        "batchSize": 8, "threads": 2}'

`encoded` is a file with the model's config.json, the token ids of every row, and the labels, as bertune wrote it.
Styles: `best` = batches of like lengths (group_by_length), padded to the longest of the batch, fused AdamW;
`tutorial` = Trainer's defaults, every row padded to 512. One step of a model of the same shape comes first and is not
counted; then one epoch of a new model, trainer.train() alone.

The task `step` times forward, backward, clipping and fused AdamW alone, on full rows of one length:

    python scripts/reference/bench.py '{"task": "step", "config": {...}, "rows": 8, "length": 256, "rounds": 1,
                                        "stepsPerRound": 3, "compile": false, "dtype": "float32", "threads": 2}'
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
        "peakBytes": peak_bytes(),
        "dtype": job["dtype"],
    }


def step(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(SEED)
    rows, length = job["rows"], job["length"]
    model = BertForSequenceClassification(BertConfig.from_dict(job["config"])).train()
    optimizer = torch.optim.AdamW(model.parameters(), lr=5e-5, weight_decay=0.0, fused=True)
    forward = torch.compile(model) if job["compile"] else model
    vocabulary = model.config.vocab_size
    ids = 1 + (torch.arange(rows * length) * 7919) % (vocabulary - 1)
    batch = {
        "input_ids": ids.view(rows, length),
        "attention_mask": torch.ones(rows, length, dtype=torch.long),
        "labels": torch.arange(rows) % 2,
    }

    def one_step() -> None:
        with torch.autocast("cpu", torch.bfloat16, enabled=job["dtype"] == "bfloat16"):
            loss = forward(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()

    one_step()
    seconds = []
    for _ in range(job["rounds"]):
        started = time.perf_counter()
        for _ in range(job["stepsPerRound"]):
            one_step()
        seconds.append((time.perf_counter() - started) / job["stepsPerRound"])
    return {"seconds": seconds, "dtype": job["dtype"], "peakBytes": peak_bytes()}


def peak_bytes() -> int:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions() -> dict:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
    }


def main(job: dict) -> None:
    tasks = {"train": lambda: train(job), "step": lambda: step(job), "versions": versions}
    print(json.dumps(tasks[job["task"]]()))


if __name__ == "__main__":
    main(json.loads(sys.argv[1]))
