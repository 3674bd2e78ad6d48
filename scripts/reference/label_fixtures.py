"""Writes test/fixtures/labels: label columns of Parquet by pyarrow and datasets, and cells as pandas reads them.

    python scripts/reference/label_fixtures.py      (needs pandas, pyarrow and datasets)
"""

import datetime
import io
import json
from decimal import Decimal
from pathlib import Path

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
from datasets import ClassLabel, Dataset, Features, LargeList, List, Value

OUT = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "labels"
TEXTS = ["one green apple", "two red pears", "three plums", "four figs"]

HOT = [[1, 0], [0, 1], [1, 1], [0, 0]]
SOFT = [[0.25, 0.75], [1.0, 0.0], [0.5, 0.5], [0.0, 1.0]]
COLUMNS = {
    "hot-int64": pa.array(HOT, pa.list_(pa.int64())),
    "hot-bool": pa.array([[bool(one) for one in row] for row in HOT], pa.list_(pa.bool_())),
    "hot-float-fixed": pa.array(HOT, pa.list_(pa.float32(), 2)),
    "hot-large": pa.array(HOT, pa.large_list(pa.int8())),
    "soft-float": pa.array(SOFT, pa.list_(pa.float32())),
    "soft-struct": pa.array([{"neg": a, "pos": b} for a, b in SOFT]),
    "float16": pa.array(np.array([5, 4, 5, 1], dtype=np.float16)),
    "float32": pa.array([5, 4, 5, 1], pa.float32()),
    "float64": pa.array([5, 4, 5, 1], pa.float64()),
    "decimal-0": pa.array([Decimal(n) for n in (5, 4, 5, 1)], pa.decimal128(5, 0)),
    "decimal-1": pa.array([Decimal(n) for n in ("5.0", "4.0", "5.0", "1.0")], pa.decimal128(5, 1)),
    "int64": pa.array([5, 4, 5, 1]),
    "bool": pa.array([True, False, True, False]),
    "large": pa.array([2**53 + 1, 2**53, 2**53 + 1, 2**53]),
    "tenths-float32": pa.array([0.1, 0.7, 0.1, 0.7], pa.float32()),
    "large-decimal": pa.array([Decimal(2**53 + 1), Decimal(2**53), Decimal(1), Decimal(2)], pa.decimal128(20, 0)),
}

CELLS = [
    "1", " 1", "1 ", "\t1", "+1", "01", "-0", "1.0", " 1.5", "1.", "+.5", "1e3", "1E-2", "1,5", "1.000,5", "1 000",
    "1_000", "50%", "$5", "5 EUR", "0x10", "\u00a01", "\uff11", "\u22121", "--1", "1d", "true", "True", "TRUE", "tRue",
]  # fmt: skip


def number_of(cell: str) -> dict:
    column = pd.read_csv(io.StringIO(f"label\n{cell}\n"), sep="\x01", keep_default_na=False)["label"]
    kind = {"i": "integer", "f": "number", "b": "boolean"}.get(column.dtype.kind, "text")
    return {"cell": cell, "kind": kind, "value": column.tolist()[0]}


def main() -> None:
    OUT.mkdir(parents=True, exist_ok=True)
    for name, column in COLUMNS.items():
        pq.write_table(pa.table({"text": TEXTS, "label": column}), OUT / f"{name}.parquet")
    names = ClassLabel(names=["joy", "anger", "fear"])
    for name, feature in {"list": List(names), "large-list": LargeList(names), "fixed-list": List(names, length=2)}.items():
        data = {"text": TEXTS, "label": [[0, 2], [1, 0], [2, 1], [0, 1]]}
        features = Features({"text": Value("string"), "label": feature})
        Dataset.from_dict(data, features=features).to_parquet(OUT / f"names-{name}.parquet")

    moments = [
        datetime.datetime(2020, 1, 2, 3, 4, 5, 123456),
        datetime.datetime(2020, 1, 2, 3, 4, 5, 123457),
        datetime.datetime(1960, 1, 2, 3, 4, 5, 1),
        datetime.datetime(2020, 1, 2, 3, 4, 5),
    ]
    nanos = [1577934245123456789, 1577934245123456788, -1, 0]
    table = {
        "text": TEXTS,
        "label": ["a", "b", "a", "b"],
        "micros": pa.array(moments, pa.timestamp("us")),
        "nanos": pa.array(nanos, pa.timestamp("ns")),
        "zoned": pa.array(moments, pa.timestamp("us", tz="UTC")),
    }
    pq.write_table(pa.table(table), OUT / "moments.parquet")
    old = {"text": TEXTS, "label": table["label"], "nanos": table["nanos"]}
    pq.write_table(pa.table(old), OUT / "moments-int96.parquet", use_deprecated_int96_timestamps=True)
    written = {name: [f"{np.datetime_as_string(moment)}Z" for moment in table[name].to_numpy(zero_copy_only=False)]
               for name in ("micros", "nanos")}  # fmt: skip
    cells = [number_of(cell) for cell in CELLS]
    (OUT / "expected.json").write_text(json.dumps({"cells": cells, "moments": written}, indent=1) + "\n")


if __name__ == "__main__":
    main()
