#!/usr/bin/env python3
"""Writes test/fixtures/tensorboard.json: event records as TensorBoard's own writer frames them, in hex. Called with a
folder, prints instead what TensorBoard's own reader finds in it, as JSON.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/tensorboard_events.py [FOLDER]
"""

import io
import json
import sys
from pathlib import Path

import tensorboard
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from tensorboard.compat.proto.event_pb2 import Event, SessionLog
from tensorboard.compat.proto.summary_pb2 import Summary
from tensorboard.summary.writer.record_writer import RecordWriter

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "tensorboard.json"
SCALARS = [
    (1, {"train/loss": 0.6931471805599453, "train/learning_rate": 5e-5}),
    (0, {"eval/loss": float("-0.0")}),
    (127, {"train/grad_norm": 1e30}),
    (128, {"eval/f1_macro": 1}),
    (2**31 + 5, {f"eval/a metric with a long name, number {i}": i / 7 for i in range(20)}),
]
TIME = 1793000000.123456


def record(event):
    file = io.BytesIO()
    RecordWriter(file).write(event.SerializeToString())
    return file.getvalue().hex()


def scalars(step, values):
    summary = Summary(value=[Summary.Value(tag=name, simple_value=value) for name, value in values.items()])
    return record(Event(wall_time=TIME, step=step, summary=summary))


def read(folder):
    events = EventAccumulator(folder)
    events.Reload()
    tags = events.Tags()["scalars"]
    print(json.dumps({tag: [[event.step, event.value] for event in events.Scalars(tag)] for tag in tags}))


def main():
    if len(sys.argv) > 1:
        return read(sys.argv[1])
    restart = Event(wall_time=TIME, step=43, session_log=SessionLog(status=SessionLog.START))
    fixture = {
        "versions": {"tensorboard": tensorboard.__version__},
        "time": TIME,
        "version": record(Event(wall_time=TIME, file_version="brain.Event:2")),
        "restart": {"step": 43, "record": record(restart)},
        "scalars": [{"step": step, "values": values, "record": scalars(step, values)} for step, values in SCALARS],
    }
    FIXTURE.write_text(json.dumps(fixture) + "\n")


if __name__ == "__main__":
    main()
