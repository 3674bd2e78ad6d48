#!/usr/bin/env python3
"""Prints what onnx and onnxruntime make of exported models, as JSON: whether the checker takes them, types and operators, and logits.
For test/onnx/variants.ts.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/check_onnx.py FILES IDS
    FILES: JSON list of paths; IDS: JSON list of rows of token ids, as long as each other
"""

import json
import sys
from collections import Counter

import numpy
import onnx
import onnxruntime


def report(path, ids):
    onnx.checker.check_model(path, full_check=True)
    model = onnx.load(path)
    weights = {t.name: onnx.TensorProto.DataType.Name(t.data_type) for t in model.graph.initializer}
    session = onnxruntime.InferenceSession(path, providers=["CPUExecutionProvider"])
    inputs = {"input_ids": ids, "attention_mask": numpy.ones_like(ids), "token_type_ids": numpy.zeros_like(ids)}
    named = {i.name: inputs[i.name] for i in session.get_inputs()}
    return {
        "ir": model.ir_version,
        "opsets": {o.domain: o.version for o in model.opset_import},
        "operators": Counter(node.op_type for node in model.graph.node),
        "weights": weights,
        "logits": session.run(["logits"], named)[0].astype(float).tolist(),
    }


def main():
    files, ids = (json.loads(text) for text in sys.argv[1:3])
    print(json.dumps([report(path, numpy.array(ids, dtype=numpy.int64)) for path in files]))


if __name__ == "__main__":
    main()
