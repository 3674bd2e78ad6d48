#!/usr/bin/env bash
# Guess: after `pip install onnxruntime onnx` the quantizers of onnxruntime work: the one for 8 bits and the one for 4 bits.
# Seen, onnxruntime 1.32.0 with onnx 1.23.2: onnxruntime.quantization imports, and its matmul_nbits_quantizer, which makes the q4 files
# of transformers.js, asks for onnx_ir, which neither of the two brings nor names as an extra.
set -euo pipefail
cd "$(mktemp -d)"
python3 -m venv venv
venv/bin/pip install -q onnxruntime==1.32.0 onnx==1.23.2
venv/bin/python - <<'PY'
import importlib
from importlib.metadata import requires

importlib.import_module("onnxruntime.quantization")
try:
    importlib.import_module("onnxruntime.quantization.matmul_nbits_quantizer")
except ModuleNotFoundError as error:
    print(error)
    assert error.name == "onnx_ir"
else:
    raise AssertionError("onnx_ir is there now, or is not needed any more")
named = [each for package in ("onnxruntime", "onnx") for each in requires(package) if "onnx" in each and "ir" in each]
print("named by the two packages:", named)
assert not any(each.startswith(("onnx-ir", "onnx_ir")) for each in named)
PY
