"""HF Trainer's side of `npm run bench -- --compare`. Without arguments it reads jobs from stdin, a line of JSON each, and does
each in a fork of itself, so that what one job leaves in memory is not there for the next and only imports are shared. A line of
JSON has the result, or what went wrong as {"error": ...}. A job as the argument is done from the start of the process on:

    python scripts/reference/bench.py '{"task": "versions"}'
    python scripts/reference/bench.py '{"task": "train", "encoded": "rows.json", "style": "best", "dtype": "bfloat16",
                                        "batchSize": 8, "threads": 2, "device": "cpu"}'

`encoded` is a file with the model's config.json, the token ids of every row, and the labels, as bertune wrote it.
Styles: `best` = batches of like lengths (group_by_length), padded to the longest of the batch, fused AdamW;
`tutorial` = Trainer's defaults, every row padded to 512. One step of a model of the same shape comes first and is not
counted; then one epoch of a new model, trainer.train() alone.

The task `evaluate` times trainer.evaluate() with accuracy on all rows, sorted by length; `tune_evaluation` says which
precision and batch size is the fastest on a part of them.

The task `step` times forward, backward, clipping and fused AdamW alone, on full rows of one length:

    python scripts/reference/bench.py '{"task": "step", "config": {...}, "rows": 8, "length": 256, "warmUp": 1, "steps": 3,
                                        "compile": false, "dtype": "float32", "threads": 2, "device": "cpu",
                                        "variant": {"gradientCheckpointing": false, "loraRank": 0, "frozen": []}}'

Started by torchrun with such a job as the argument, the tasks `step` and `train` are done by all its processes together, with the
rows or the batch size of each, by DistributedDataParallel and Gloo; the first prints what they measured together.

The task `forward` times the model on the same rows without gradients. `open` goes from a model folder to a first prediction,
and `first_step` from a model folder and a CSV to a model that was trained for one step and saved.
"""

import csv
import json
import os
import platform
import resource
import sys
import tempfile
import time
import traceback
from collections.abc import Callable
from functools import partial

import torch
import torch.distributed
import transformers
from transformers import (
    AutoConfig,
    AutoModelForMaskedLM,
    AutoModelForSequenceClassification,
    AutoTokenizer,
    PrinterCallback,
    Trainer,
    TrainingArguments,
    set_seed,
)

STYLES = {
    "best": {"train_sampling_strategy": "group_by_length", "optim": "adamw_torch_fused"},
    "tutorial": {},
}
# How Trainer.evaluate can run; `dtype` is what it computes in.
EVALUATIONS = {
    "bf16_full_eval": {"dtype": "bfloat16", "args": {"bf16_full_eval": True}},
    "autocast": {"dtype": "bfloat16", "args": {"bf16": True}},
    "plain": {"dtype": "float32", "args": {}},
}
EVALUATION_BATCH_SIZES = [8, 32, 64]
PADDED_LENGTH = 512
SEED = 42


def new_model(config: dict) -> torch.nn.Module:
    """A classifier, or a masked language model, with random weights, of the class that model_type names."""
    auto = AutoModelForMaskedLM if is_masked_lm(config) else AutoModelForSequenceClassification
    return auto.from_config(AutoConfig.for_model(**config))


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


def training_arguments(job: dict, **own) -> TrainingArguments:
    return TrainingArguments(
        bf16=job["dtype"] == "bfloat16",
        seed=SEED,
        use_cpu=job["device"] == "cpu",
        save_strategy="no",
        report_to="none",
        **({"ddp_backend": "gloo", "ddp_find_unused_parameters": False} if processes() > 1 else {}),
        **own,
    )


def train_once(job: dict, data: dict, folder: str, max_steps: int) -> float:
    """Trains a new model; returns the seconds of trainer.train()."""
    set_seed(SEED)
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(data["ids"], data["labels"])]
    trainer = Trainer(
        model=new_model(data["config"]),
        args=training_arguments(
            job,
            output_dir=folder,
            num_train_epochs=1,
            max_steps=max_steps,
            per_device_train_batch_size=job["batchSize"],
            learning_rate=5e-5,
            max_grad_norm=1.0,
            logging_strategy="no",
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
        "peakBytes": peak_bytes(job["device"]),
    }


def sorted_rows(job: dict) -> tuple[dict, list[dict]]:
    """The model's config, and the rows from the shortest to the longest, so that batches need least padding."""
    with open(job["encoded"], encoding="utf-8") as file:
        data = json.load(file)
    rows = [{"input_ids": ids, "labels": label} for ids, label in zip(data["ids"], data["labels"])]
    return data["config"], sorted(rows, key=lambda row: len(row["input_ids"]))


def evaluator(job: dict, config: dict, way: str, batch_size: int, folder: str) -> Trainer:
    set_seed(SEED)
    return Trainer(
        model=new_model(config),
        args=TrainingArguments(
            output_dir=folder,
            per_device_eval_batch_size=batch_size,
            seed=SEED,
            use_cpu=job["device"] == "cpu",
            report_to="none",
            disable_tqdm=True,
            remove_unused_columns=False,
            **EVALUATIONS[way]["args"],
        ),
        data_collator=partial(collate, length=None),
        compute_metrics=lambda output: {"accuracy": (output.predictions.argmax(-1) == output.label_ids).mean()},
    )


def evaluation_seconds(trainer: Trainer, rows: list[dict]) -> float:
    """One batch comes first and is not counted."""
    trainer.remove_callback(PrinterCallback)
    trainer.evaluate(rows[: trainer.args.per_device_eval_batch_size])
    started = time.perf_counter()
    trainer.evaluate(rows)
    return time.perf_counter() - started


def tune_evaluation(job: dict) -> dict:
    """The best way with batches of 8, then the best batch size for it. Emulated bfloat16 is not tried."""
    torch.set_num_threads(job["threads"])
    config, rows = sorted_rows(job)
    # Neighbours of all rows, so that batches are as even as they will be.
    half = max(EVALUATION_BATCH_SIZES)
    part = [row for third in (1, 2) for row in rows[third * len(rows) // 3 :][:half]]
    tried = {}
    with tempfile.TemporaryDirectory(prefix="bertune-bench-") as folder:

        def seconds(way: str, batch_size: int) -> float:
            if (way, batch_size) not in tried:
                trainer = evaluator(job, config, way, batch_size, folder)
                tried[way, batch_size] = evaluation_seconds(trainer, part)
            return tried[way, batch_size]

        ways = [way for way, how in EVALUATIONS.items() if job["bfloat16"] or how["dtype"] == "float32"]
        way = min(ways, key=lambda each: seconds(each, EVALUATION_BATCH_SIZES[0]))
        batch_size = min(EVALUATION_BATCH_SIZES, key=lambda each: seconds(way, each))
    return {
        "way": way,
        "batchSize": batch_size,
        "dtype": EVALUATIONS[way]["dtype"],
        "tried": [{"way": way, "batchSize": size, "seconds": time} for (way, size), time in tried.items()],
    }


def evaluate(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    config, rows = sorted_rows(job)
    with tempfile.TemporaryDirectory(prefix="bertune-bench-") as folder:
        seconds = evaluation_seconds(evaluator(job, config, job["way"], job["batchSize"], folder), rows)
    return {
        "seconds": seconds,
        "tokens": sum(len(row["input_ids"]) for row in rows),
        "peakBytes": peak_bytes(job["device"]),
    }


def step_model(job: dict) -> torch.nn.Module:
    """The model in training, with what the variant freezes, adapts or computes twice."""
    variant = job["variant"]
    model = new_model(job["config"])
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(name not in variant["frozen"])
    if variant["gradientCheckpointing"]:
        model.gradient_checkpointing_enable({"use_reentrant": False})
    if variant["loraRank"] > 0:
        from peft import LoraConfig, get_peft_model

        own = {"distilbert": ["q_lin", "v_lin"], "modernbert": ["Wqkv"], "mpnet": ["q", "v"]}
        own["deberta-v2"] = ["query_proj", "value_proj"]
        targets = own.get(model.config.model_type, ["query", "value"])
        settings = {"task_type": "SEQ_CLS", "r": variant["loraRank"], "target_modules": targets}
        model = get_peft_model(model, LoraConfig(**settings))
    return model.to(job["device"]).train()


def step(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    torch.manual_seed(SEED)
    device = job["device"]
    model = step_model(job)
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.AdamW(trained, lr=5e-5, weight_decay=0.0, fused=True)
    forward = torch.compile(model) if job["compile"] else model
    if processes() > 1:
        torch.distributed.init_process_group("gloo")
        # The bucket view saves a copy of all gradients. Gloo has no hook that rounds them to bfloat16.
        forward = torch.nn.parallel.DistributedDataParallel(model, gradient_as_bucket_view=True)
    batch = made_up_batch(job, model.config.vocab_size)

    def one_step() -> None:
        with torch.autocast(device, torch.bfloat16, enabled=job["dtype"] == "bfloat16"):
            loss = forward(**batch).loss
        loss.backward()
        torch.nn.utils.clip_grad_norm_(trained, 1.0)
        optimizer.step()
        optimizer.zero_grad()

    seconds = seconds_of(one_step, job)
    state = [value for state in optimizer.state.values() for value in state.values()]
    return {
        "seconds": seconds,
        "tokens": batch["input_ids"].numel() * processes(),
        "peakBytes": peak_bytes(device),
        "stateBytes": sum(value.numel() * value.element_size() for value in state),
    }


def processes() -> int:
    return int(os.environ.get("WORLD_SIZE", "1"))


def of_all(result: dict) -> dict:
    """The slowest's time, the tokens, which are those of all already, and the sums of memory."""
    results = [None] * processes()
    torch.distributed.all_gather_object(results, result)
    torch.distributed.destroy_process_group()
    summed = {name: sum(each[name] for each in results) for name in result}
    return summed | {"seconds": max(each["seconds"] for each in results), "tokens": result["tokens"]}


def made_up_batch(job: dict, vocabulary: int) -> dict[str, torch.Tensor]:
    rows, length, device = job["rows"], job["length"], job["device"]
    ids = 1 + (torch.arange(rows * length) * 7919) % (vocabulary - 1)
    masked = torch.where(torch.arange(rows * length) % 20 < 3, ids, -100).view(rows, length)
    return {
        "input_ids": ids.view(rows, length).to(device),
        "attention_mask": torch.ones(rows, length, dtype=torch.long, device=device),
        "labels": (masked if is_masked_lm(job["config"]) else torch.arange(rows) % 2).to(device),
    }


def is_masked_lm(config: dict) -> bool:
    return config.get("architectures") == ["ForMaskedLM"]


def seconds_of(work: Callable[[], None], job: dict) -> float:
    """Of one, after those that warm up."""
    for _ in range(job["warmUp"]):
        work()
    synchronize(job["device"])
    if processes() > 1:
        torch.distributed.barrier()
    started = time.perf_counter()
    for _ in range(job["steps"]):
        work()
    synchronize(job["device"])
    return (time.perf_counter() - started) / job["steps"]


@torch.inference_mode()
def forward(job: dict) -> dict:
    """The faster of autocast and weights in bfloat16, where that is the type."""
    torch.set_num_threads(job["threads"])
    device = job["device"]
    model = new_model(job["config"]).to(device).eval()
    batch = made_up_batch(job, model.config.vocab_size)

    def one() -> None:
        model(**batch)

    if job["dtype"] == "bfloat16":
        with torch.autocast(device, torch.bfloat16):
            cast = seconds_of(one, job)
        model.to(torch.bfloat16)
        seconds = min(cast, seconds_of(one, job))
    else:
        seconds = seconds_of(one, job)
    return {"seconds": seconds, "tokens": batch["input_ids"].numel(), "peakBytes": peak_bytes(device)}


def open_model(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    started = time.perf_counter()
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    model = AutoModelForSequenceClassification.from_pretrained(job["model"]).to(job["device"]).eval()
    with torch.inference_mode():
        model(**tokenizer(["What a film!"], return_tensors="pt").to(job["device"])).logits.argmax(-1).tolist()
    return {"seconds": time.perf_counter() - started, "peakBytes": peak_bytes(job["device"])}


def first_step(job: dict) -> dict:
    torch.set_num_threads(job["threads"])
    tokenizer = AutoTokenizer.from_pretrained(job["model"])
    with open(job["trainFile"], encoding="utf-8", newline="") as file:
        rows = [
            {"input_ids": tokenizer(row["text"], truncation=True)["input_ids"], "labels": int(row["label"])}
            for row in csv.DictReader(file)
        ]
    trainer = Trainer(
        model=AutoModelForSequenceClassification.from_pretrained(job["model"]),
        args=training_arguments(job, output_dir=job["output"], max_steps=1),
        train_dataset=rows,
        data_collator=partial(collate, length=None),
        processing_class=tokenizer,
    )
    trainer.train()
    trainer.save_model(job["output"])
    return {}


def synchronize(device: str) -> None:
    if device == "cuda":
        torch.cuda.synchronize()


def peak_bytes(device: str) -> int:
    """The most memory held: of the GPU, or by this process."""
    if device == "cuda":
        return torch.cuda.max_memory_allocated()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024


def versions() -> dict:
    return {
        "python": platform.python_version(),
        "torch": torch.__version__,
        "transformers": transformers.__version__,
        "cuda": torch.cuda.is_available(),
    }


TASKS = {
    "versions": lambda job: versions(),
    "train": train,
    "tune_evaluation": tune_evaluation,
    "evaluate": evaluate,
    "step": step,
    "forward": forward,
    "open": open_model,
    "first_step": first_step,
}


def result_of(line: str) -> str:
    job = json.loads(line)
    if "device" in job:
        job["device"] = only_visible(job["device"])
    result = TASKS[job["task"]](job)
    return json.dumps(of_all(result) if processes() > 1 else result)


def only_visible(device: str) -> str:
    """Of `cuda:1` and the like the type: the others are hidden before CUDA starts, since Trainer takes all that it sees."""
    kind, _, index = device.partition(":")
    if index:
        visible = os.environ.get("CUDA_VISIBLE_DEVICES")
        os.environ["CUDA_VISIBLE_DEVICES"] = visible.split(",")[int(index)] if visible else index
    return kind


def serve() -> None:
    """Each job in a fork; nothing here may start a thread before."""
    for line in sys.stdin:
        child = os.fork()
        if child == 0:
            try:
                result = result_of(line)
            except BaseException:
                result = json.dumps({"error": traceback.format_exc().strip()})
            print(f"\n{result}", flush=True)
            os._exit(0)
        _, status = os.waitpid(child, 0)
        if status != 0:
            print(json.dumps({"error": f"it ended with code {os.waitstatus_to_exitcode(status)}"}), flush=True)


if __name__ == "__main__":
    if len(sys.argv) > 1:
        result = result_of(sys.argv[1])
        if os.environ.get("RANK", "0") == "0":
            print(result)
    else:
        serve()
