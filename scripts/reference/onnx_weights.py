#!/usr/bin/env python3
"""Writes test/fixtures/onnx-weights.json: matrices as onnxruntime's quantizers and numpy store them.

    pip install -r scripts/reference/requirements.txt
    python scripts/reference/onnx_weights.py
"""

import json
import tempfile
from pathlib import Path

import numpy
import onnx
from onnx import TensorProto, helper, numpy_helper
from onnxruntime.capi._pybind_state import quantize_matmul_4bits
from onnxruntime.quantization import QuantType, quantize_dynamic

FIXTURE = Path(__file__).parents[2] / "test" / "fixtures" / "onnx-weights.json"
RNG = numpy.random.default_rng(7)


def matrices():
    """Of MatMul: [inputs, outputs]."""
    usual = RNG.normal(0, 0.05, (64, 5))
    outliers = usual.copy()
    outliers[3, 1] = 2.5
    outliers[:, 2] = numpy.abs(outliers[:, 2])
    outliers[:, 3] = -numpy.abs(outliers[:, 3])
    outliers[:, 4] = 0
    halves = numpy.stack([numpy.arange(-32, 32) / 2, numpy.arange(-64, 0), numpy.full(64, 1e-42)], axis=1)
    return {"usual": usual, "outliers": outliers, "halves": halves, "not a multiple of 32": RNG.normal(0, 1, (40, 3))}


def by_quantize_dynamic(matrix, folder):
    rows, columns = matrix.shape
    node = helper.make_node("MatMul", ["x", "w"], ["y"])
    graph = helper.make_graph(
        [node],
        "main",
        [helper.make_tensor_value_info("x", TensorProto.FLOAT, ["n", rows])],
        [helper.make_tensor_value_info("y", TensorProto.FLOAT, ["n", columns])],
        [numpy_helper.from_array(matrix, "w")],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)
    before, after = folder / "before.onnx", folder / "after.onnx"
    onnx.save(model, before)
    quantize_dynamic(before, after, per_channel=True, weight_type=QuantType.QUInt8)
    stored = {t.name: numpy_helper.to_array(t) for t in onnx.load(after).graph.initializer}
    return {
        "values": stored["w_quantized"].ravel().tolist(),
        "scales": stored["w_scale"].ravel().astype(float).tolist(),
        "zeroPoints": stored["w_zero_point"].ravel().tolist(),
    }


def by_nbits(matrix):
    """As matmul_nbits_quantizer.py calls it, which needs onnx_ir: symmetric, in blocks of 32."""
    rows, columns = matrix.shape
    blocks = -(-rows // 32)
    padded = numpy.pad(matrix, ((0, 32 * blocks - rows), (0, 0)))
    packed = numpy.zeros((columns, blocks, 16), dtype=numpy.uint8)
    scales = numpy.zeros((columns, blocks), dtype=numpy.float32)
    zero_points = numpy.zeros((columns, (blocks + 1) // 2), dtype=numpy.uint8)
    quantize_matmul_4bits(packed, padded, scales, zero_points, 32, columns, rows, True)
    return {"values": packed.ravel().tolist(), "scales": scales.ravel().astype(float).tolist()}


def halves():
    """Around every step of float16: its numbers, the middles between them, and what lies next to those."""
    bits = numpy.arange(0, 0x7C00, 97, dtype=numpy.uint16)
    exact = bits.view(numpy.float16).astype(numpy.float32)
    following = (bits + 1).astype(numpy.uint16).view(numpy.float16).astype(numpy.float32)
    middle = ((exact.astype(float) + following.astype(float)) / 2).astype(numpy.float32)[:-1]
    near = [numpy.nextafter(middle, numpy.float32(side)) for side in (0, 1e30)]
    random = RNG.normal(0, 1, 200).astype(numpy.float32) * 10.0 ** RNG.integers(-9, 4, 200).astype(numpy.float32)
    values = numpy.concatenate([exact, middle, *near, random]).astype(numpy.float32)
    values = values[numpy.abs(values) < 65504]
    values = numpy.concatenate([values, -values])
    return {"values": values.astype(float).tolist(), "bits": values.astype(numpy.float16).view(numpy.uint16).tolist()}


def main():
    cases = []
    with tempfile.TemporaryDirectory() as folder:
        for name, matrix in matrices().items():
            weights = matrix.astype(numpy.float32)
            cases.append(
                {
                    "name": name,
                    "shape": weights.shape,
                    "weights": weights.ravel().astype(float).tolist(),
                    "uint8": by_quantize_dynamic(weights, Path(folder)),
                    "int4": by_nbits(weights),
                }
            )
    FIXTURE.write_text(json.dumps({"matrices": cases, "float16": halves()}) + "\n")


if __name__ == "__main__":
    main()
