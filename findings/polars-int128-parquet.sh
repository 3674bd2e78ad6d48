#!/usr/bin/env bash
# Guess: a Parquet file of Polars is read by pyarrow, column by column.
# Seen: polars 2.1.0 writes Int128 as an INTEGER of 128 bits in FIXED_LEN_BYTE_ARRAY(16), which Polars reads again; pyarrow 26.0.1
# refuses the whole file, not only that column: "Integers with more than 64 bits not implemented". A reader that ignores the
# annotation gets lists of 16 bytes.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q polars==2.1.0 pyarrow==26.0.1
venv/bin/python - <<'PY'
import polars, pyarrow, pyarrow.parquet

print("polars", polars.__version__, "pyarrow", pyarrow.__version__)
rows = {"text": ["a", "b"], "label": [0, 1]}
polars.DataFrame(rows, schema_overrides={"label": polars.Int128}).write_parquet("a.parquet")
assert polars.read_parquet("a.parquet").schema["label"] == polars.Int128
try:
    pyarrow.parquet.read_table("a.parquet", columns=["text"])
    seen = "read"
except pyarrow.ArrowNotImplementedError as error:
    seen = str(error)
print(seen)
assert seen == "Integers with more than 64 bits not implemented"
PY
