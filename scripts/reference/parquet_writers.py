"""Writes test/fixtures/parquet: the same rows by every writer that people use, in its encodings, page versions and codecs.

    python scripts/reference/parquet_writers.py    (needs pyarrow, polars, duckdb, fastparquet, arro3-io, pyspark and Java 17)

rows.json holds what pyarrow reads from each file: one list of values for each column, where a file has it. Values that JSON
does not have are written as in `plain`.
"""

import base64
import datetime
import decimal
import json
import shutil
import sys
import tempfile
from pathlib import Path

import duckdb
import fastparquet
import numpy as np
import polars as pl
import pyarrow as pa
import pyarrow.parquet as pq
from arro3.core import Table
from arro3.io import write_parquet

OUT = Path(__file__).resolve().parents[2] / "test" / "fixtures" / "parquet"
ROWS = 150
EPOCH = datetime.datetime(2024, 2, 29, 23, 59, 59, 123456)
WORDS = ["blue", "kettle", "Größe", "一二三", "works", "👍🏽", "slow"]


def null_at(row: int, column: int) -> bool:
    """Runs of nulls longer than a miniblock, single ones, and a whole page of them."""
    return 40 <= row < 40 + 30 * column or (row * 7 + column) % 5 == 0


def with_nulls(values: list, column: int) -> list:
    return [None if null_at(row, column) else value for row, value in enumerate(values)]


def table() -> pa.Table:
    rows = range(ROWS)
    texts = [f"{WORDS[i % 7]} {WORDS[i % 5]} {i}" for i in rows]
    times = [EPOCH + datetime.timedelta(hours=i, microseconds=i) for i in rows]
    decimals = [decimal.Decimal(i * 37 - 500) / 100 for i in rows]
    lists = [[WORDS[j % 7] if (i + j) % 4 else None for j in range(i % 4)] for i in rows]
    columns = {
        "text": pa.array(texts),
        "label": pa.array(["good" if i % 3 else "bad" for i in rows]),
        "pair": pa.array(with_nulls(texts[::-1], 1)),
        "sparse": pa.array(with_nulls(texts, 3)),
        "flag": pa.array(with_nulls([i % 4 < 2 for i in rows], 2)),
        "yes": pa.array([i < 120 for i in rows]),
        "int32": pa.array(with_nulls([i * i - 3000 for i in rows], 1), pa.int32()),
        "int64": pa.array([(-1) ** i * 3**i % (2**62) for i in rows], pa.int64()),
        "uint8": pa.array(with_nulls([i for i in rows], 2), pa.uint8()),
        "float": pa.array(with_nulls([i / 4 for i in rows], 1), pa.float32()),
        "double": pa.array(with_nulls([i / 3 for i in rows], 2)),
        "date": pa.array([t.date() for t in times]),
        "time_us": pa.array(times, pa.timestamp("us")),
        "time_ns": pa.array([int(t.replace(tzinfo=datetime.timezone.utc).timestamp()) * 10**9 + i for i, t in enumerate(times)], pa.timestamp("ns")),
        "decimal": pa.array(with_nulls(decimals, 1), pa.decimal128(10, 2)),
        "whole": pa.array([decimal.Decimal(i) for i in rows], pa.decimal128(20, 0)),
        "words": pa.array(with_nulls(lists, 1), pa.list_(pa.string())),
        "scores": pa.array([[i / 2, 1.5] for i in rows], pa.list_(pa.float32())),
        "object": pa.array([{"a": i, "b": None if i % 3 else "x"} for i in rows], pa.struct([("a", pa.int32()), ("b", pa.string())])),
        "bytes": pa.array(with_nulls([bytes([i, 255, 0]) for i in rows], 1), pa.binary()),
    }
    return pa.table(columns)


def plain(value: object) -> object:
    """As JSON: times in ISO 8601 with all their digits, bytes in base64, decimals and large integers as strings."""
    if isinstance(value, bytes):
        return base64.b64encode(value).decode()
    if isinstance(value, decimal.Decimal):
        return str(value)
    if isinstance(value, int) and not isinstance(value, bool) and abs(value) >= 2**53:
        return str(value)
    if isinstance(value, dict):
        return {name: plain(own) for name, own in value.items()}
    if isinstance(value, list):
        return [plain(own) for own in value]
    if isinstance(value, (datetime.datetime, datetime.date)):
        return value.isoformat()
    return value


def values_of(column: pa.ChunkedArray) -> list:
    if pa.types.is_timestamp(column.type):
        unit = {"us": 6, "ns": 9, "ms": 3}[column.type.unit]
        numbers = column.cast(pa.int64()).to_pylist()
        return [None if n is None else f"{np.datetime64(n, column.type.unit)}" for n in numbers if unit]
    if pa.types.is_map(column.type):
        return [plain(dict(value)) for value in column.to_pylist()]
    return [plain(value) for value in column.to_pylist()]


def by_pyarrow(data: pa.Table) -> None:
    delta = {"text": "DELTA_BYTE_ARRAY", "label": "DELTA_LENGTH_BYTE_ARRAY", "pair": "DELTA_BYTE_ARRAY", "sparse": "DELTA_BYTE_ARRAY", "bytes": "DELTA_BYTE_ARRAY", "flag": "RLE", "yes": "RLE", "int32": "DELTA_BINARY_PACKED", "int64": "DELTA_BINARY_PACKED", "float": "BYTE_STREAM_SPLIT", "double": "BYTE_STREAM_SPLIT", "time_us": "DELTA_BINARY_PACKED"}
    lengths = {**delta, "text": "DELTA_LENGTH_BYTE_ARRAY", "pair": "DELTA_LENGTH_BYTE_ARRAY", "sparse": "DELTA_LENGTH_BYTE_ARRAY", "int32": "BYTE_STREAM_SPLIT", "int64": "BYTE_STREAM_SPLIT"}
    kinds = {"dict": {}, "plain": {"use_dictionary": False}, "delta": {"use_dictionary": False, "column_encoding": delta}, "lengths": {"use_dictionary": False, "column_encoding": lengths}}
    for page in ("1.0", "2.0"):
        for kind, options in kinds.items():
            write_by_pyarrow(data, f"pyarrow-v{page[0]}-{kind}-snappy", page, "snappy", options)
        for codec in ("none", "gzip", "brotli", "zstd", "lz4"):
            write_by_pyarrow(data, f"pyarrow-v{page[0]}-dict-{codec}", page, codec, {})
    text = data["text"]
    other = pa.table({
        "text": text.cast(pa.large_string()),
        "label": data["label"].dictionary_encode(),
        "pair": data["pair"].cast(pa.string_view()),
        "float16": pa.array(with_nulls([i / 4 for i in range(ROWS)], 1), pa.float16()),
        "large": pa.array([["a"], []] * (ROWS // 2), pa.large_list(pa.string())),
        "fixed": pa.array([bytes([i, 1]) for i in range(ROWS)], pa.binary(2)),
        "time_ms": data["time_us"].cast(pa.timestamp("ms"), safe=False),
        "time_utc": data["time_us"].cast(pa.timestamp("us", tz="UTC")),
        "nothing": pa.nulls(ROWS),
        "map": pa.array([[("k", i)] for i in range(ROWS)], pa.map_(pa.string(), pa.int32())),
        "wide": pa.array([decimal.Decimal(10) ** 30 + i for i in range(ROWS)], pa.decimal256(40, 0)),
    })
    write_by_pyarrow(other, "pyarrow-v1-types", "1.0", "snappy", {})
    write_by_pyarrow(other, "pyarrow-v2-types", "2.0", "zstd", {"store_decimal_as_integer": True})
    int96 = data.select(["text", "label", "time_ns"])
    write_by_pyarrow(int96, "pyarrow-v1-int96", "1.0", "snappy", {"use_deprecated_int96_timestamps": True})


def write_by_pyarrow(data: pa.Table, name: str, page: str, codec: str, options: dict) -> None:
    pq.write_table(data, OUT / f"{name}.parquet", data_page_version=page, compression=codec, row_group_size=100, data_page_size=512, write_batch_size=16, write_statistics=False, store_schema=False, **options)


def by_polars(data: pa.Table) -> None:
    frame = pl.from_arrow(data)
    frame = frame.with_columns(pl.col("label").cast(pl.Categorical))
    for codec in ("uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4"):
        frame.write_parquet(OUT / f"polars-{codec}.parquet", compression=codec, row_group_size=100, data_page_size=512, statistics=False)


def by_duckdb(data: pa.Table) -> None:
    for version in ("V1", "V2"):
        for codec in ("uncompressed", "snappy", "gzip", "brotli", "zstd", "lz4_raw"):
            path = OUT / f"duckdb-{version.lower()}-{codec}.parquet"
            duckdb.sql(f"copy (select * from data) to '{path}' (format parquet, compression {codec}, parquet_version {version}, row_group_size 2048)")


def by_fastparquet(data: pa.Table) -> None:
    # It knows no structs, and takes nulls in integers and booleans for floats and objects.
    frame = data.select(["text", "label", "pair", "sparse", "yes", "int64", "float", "double", "time_us", "bytes"]).to_pandas()
    for codec in ("UNCOMPRESSED", "SNAPPY", "GZIP", "BROTLI", "ZSTD", "LZ4_RAW"):
        fastparquet.write(str(OUT / f"fastparquet-{codec.lower()}.parquet"), frame, compression=codec, row_group_offsets=100, stats=False)
    fastparquet.write(str(OUT / "fastparquet-int96.parquet"), frame, times="int96", compression="SNAPPY", row_group_offsets=100, stats=False)


def by_arrow_rs(data: pa.Table) -> None:
    source = Table.from_arrow(data)
    flat = {"text": "delta_byte_array", "pair": "delta_byte_array", "sparse": "delta_length_byte_array", "flag": "rle", "yes": "rle", "int32": "delta_binary_packed", "int64": "delta_binary_packed"}
    for version in ("parquet_1_0", "parquet_2_0"):
        for codec in ("uncompressed", "snappy", "gzip(6)", "brotli(5)", "zstd(3)", "lz4_raw"):
            name = f"arrow-rs-v{version[8]}-{codec.split('(')[0]}"
            write_parquet(source, OUT / f"{name}.parquet", compression=codec, writer_version=version, max_row_group_size=100, data_page_size_limit=512, write_batch_size=16, skip_arrow_metadata=True)
        write_parquet(source, OUT / f"arrow-rs-v{version[8]}-delta.parquet", compression="snappy", writer_version=version, max_row_group_size=100, data_page_size_limit=512, write_batch_size=16, dictionary_enabled=False, skip_arrow_metadata=True, column_encoding=flat)


def by_parquet_mr(data: pa.Table) -> None:
    from pyspark.sql import SparkSession

    spark = SparkSession.builder.master("local[1]").config("spark.ui.enabled", "false").config("spark.sql.session.timeZone", "UTC").getOrCreate()
    with tempfile.TemporaryDirectory() as folder:
        pq.write_table(data.drop_columns(["time_ns"]), f"{folder}/in.parquet")
        frame = spark.read.parquet(f"{folder}/in.parquet").coalesce(1)
        for version in ("PARQUET_1_0", "PARQUET_2_0"):
            for codec in ("none", "snappy", "gzip", "zstd", "lz4_raw"):
                write = frame.write.option("parquet.writer.version", version).option("parquet.page.size", 512).option("parquet.enable.dictionary", str(codec != "none").lower())
                write.option("compression", codec).option("spark.sql.parquet.outputTimestampType", "TIMESTAMP_MICROS").mode("overwrite").parquet(f"{folder}/out")
                (part,) = Path(f"{folder}/out").glob("*.parquet")
                shutil.copy(part, OUT / f"parquet-mr-v{version[8]}-{codec}.parquet")
    spark.stop()


def main() -> None:
    shutil.rmtree(OUT, ignore_errors=True)
    OUT.mkdir(parents=True)
    data = table()
    for write in (by_pyarrow, by_polars, by_duckdb, by_fastparquet, by_arrow_rs, by_parquet_mr):
        try:
            write(data)
        except Exception as error:
            if "--strict" in sys.argv:
                raise
            print(write.__name__, repr(error)[:500])
    distinct: list[list] = []
    files = {}
    for path in sorted(OUT.glob("*.parquet")):
        read = pq.read_table(path)
        files[path.name] = {}
        for name in read.column_names:
            values = values_of(read[name])
            if values not in distinct:
                distinct.append(values)
            files[path.name][name] = distinct.index(values)
    lists = ",\n".join(json.dumps(values, ensure_ascii=False) for values in distinct)
    (OUT / "rows.json").write_text(f'{{"files": {json.dumps(files)},\n"values": [\n{lists}\n]}}\n', encoding="utf-8")


if __name__ == "__main__":
    main()
