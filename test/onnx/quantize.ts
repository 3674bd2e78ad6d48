// Weights in fewer bits: equal, bit by bit, to onnxruntime's quantizers and numpy (scripts/reference/onnx_weights.py).
import { readFileSync } from 'node:fs';
import t from 'tap';

import { quantizeBlocks, quantizeColumns, roundHalfEven, toFloat16 } from '../../dist/onnx/quantize.js';

interface Matrix {
  name: string;
  shape: [rows: number, columns: number];
  weights: number[];
  uint8: { values: number[]; scales: number[]; zeroPoints: number[] };
  int4: { values: number[]; scales: number[] };
}

const { matrices, float16 } = JSON.parse(
  readFileSync(new URL('../fixtures/onnx-weights.json', import.meta.url), 'utf8'),
) as { matrices: Matrix[]; float16: { values: number[]; bits: number[] } };

/** [rows, columns] -> [columns, rows] */
function transposed(values: readonly number[], [rows, columns]: readonly [number, number]): Float32Array {
  return Float32Array.from(values, (_, i) => values[(i % rows) * columns + Math.floor(i / rows)] ?? NaN);
}

for (const { name, shape, weights, uint8, int4 } of matrices)
  t.test(name, (t) => {
    const columns = quantizeColumns(Float32Array.from(weights), shape[1]);
    t.same(Array.from(columns.scales), uint8.scales, 'scales of quantize_dynamic');
    t.same(Array.from(columns.zeroPoints), uint8.zeroPoints, 'its zero points');
    t.same(Array.from(columns.values), uint8.values, 'its values');
    const blocks = quantizeBlocks(transposed(weights, shape), shape[0]);
    t.same(Array.from(blocks.scales), int4.scales, 'scales of MatMulNBits');
    t.same(Array.from(blocks.values), int4.values, 'its values');
    t.end();
  });

t.test('what was quantized is at most half a step away', (t) => {
  const weights = Float32Array.from({ length: 64 * 7 }, (_, i) => Math.sin(i * i) * (1 + (i % 7)));
  const { values, scales, zeroPoints } = quantizeColumns(weights, 7);
  const steps = Array.from(weights, (weight, i) => {
    const [scale, zeroPoint] = [scales[i % 7] ?? NaN, zeroPoints[i % 7] ?? NaN];
    return Math.abs(((values[i] ?? NaN) - zeroPoint) * scale - weight) / scale;
  });
  t.ok(Math.max(...steps) <= 1, `${Math.max(...steps)} steps`); // the zero point is rounded too
  t.end();
});

t.test('float16', (t) => {
  t.same(Array.from(toFloat16(Float32Array.from(float16.values))), float16.bits, "numpy's");
  const extremes = Float32Array.of(65504, 65520, 3.4e38, -3.4e38, Infinity, 0, -0, NaN);
  const expected = [0x7bff, 0x7bff, 0x7bff, 0xfbff, 0x7bff, 0, 0x8000, 0x7e00];
  t.same(Array.from(toFloat16(extremes)), expected, 'no infinities');
  t.end();
});

t.test('halves go to the even number', (t) => {
  const halves = [-2.5, -1.5, -0.5, 0.5, 1.5, 2.5, 3.5, 0.49999999999999994, 254.5];
  t.same(
    halves.map((value) => roundHalfEven(value) + 0),
    [-2, -2, 0, 0, 2, 2, 4, 0, 254],
  );
  t.end();
});
