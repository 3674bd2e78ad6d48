#!/usr/bin/env bash
# Guess: hyparquet gives whole numbers of DECIMAL(20, 0) exactly, since it gives INT64 as bigint.
# Seen, hyparquet 1.31.5: DECIMAL becomes a JavaScript number whatever its precision, so that 2^53 + 1 and 2^53 are the same;
# the same two values as INT64 are two. (Files by pyarrow 26.0.1.)
set -euo pipefail
cd "$(mktemp -d)"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact hyparquet@1.31.5 >/dev/null
python3 -m venv venv
venv/bin/pip install -q pyarrow==26.0.1
venv/bin/python - <<'PY'
from decimal import Decimal
import pyarrow as pa, pyarrow.parquet as pq

ids = [2**53 + 1, 2**53]
decimals = pa.array([Decimal(one) for one in ids], pa.decimal128(20, 0))
pq.write_table(pa.table({"decimal": decimals, "int64": ids}), "ids.parquet", compression="none")
PY
cat > read.mjs <<'JS'
import assert from 'node:assert';
import { readFileSync } from 'node:fs';
import { asyncBufferFromFile, parquetReadObjects } from 'hyparquet';

console.log('hyparquet', JSON.parse(readFileSync('node_modules/hyparquet/package.json', 'utf8')).version);
const [first, second] = await parquetReadObjects({ file: await asyncBufferFromFile('ids.parquet') });
console.log('decimal', first.decimal, second.decimal, 'int64', first.int64, second.int64);
assert.strictEqual(first.decimal, second.decimal);
assert.strictEqual(first.int64 - second.int64, 1n);
JS
node read.mjs
