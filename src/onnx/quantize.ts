// Weights in fewer bits, as onnxruntime's quantizers make them (quantize_dynamic, MatMulNBits), and float16. Rounding is to the
// nearest, halves to the even one, as in numpy and ONNX; in 4 bits, as in MatMulNBits' quantizer, halves go up.

/** uint8: weight = (value - zeroPoint) * scale, with a scale and a zero point for each column. */
export interface QuantizedColumns {
  readonly values: Uint8Array;
  readonly scales: Float32Array;
  readonly zeroPoints: Uint8Array;
}

/** 4 bits: weight = (value - 8) * scale of its block. Nothing reads the padding of the last one. */
export interface QuantizedBlocks {
  /** [rows, blocks, BLOCK / 2]: two values in a byte, the first in its lower half. */
  readonly values: Uint8Array;
  /** [rows, blocks] */
  readonly scales: Float32Array;
}

/** Weights that share a scale in 4 bits. */
export const BLOCK = 32;

/** A scale below this, float32's smallest normal number, is that of a column of zeros. */
const TINY = 1.17549435e-38;

/**
 * Quantizes to uint8, asymmetric, so that the range of each column and 0 are representable: quantize_dynamic's `per_channel`.
 *
 * @param weights [rows, columns]
 */
export function quantizeColumns(weights: Float32Array, columns: number): QuantizedColumns {
  const [low, high] = [new Float32Array(columns), new Float32Array(columns)];
  eachOf(weights, columns, (i, column) => {
    const weight = weights[i] ?? 0;
    if (weight < (low[column] ?? 0)) low[column] = weight;
    if (weight > (high[column] ?? 0)) high[column] = weight;
  });
  const scales = new Float32Array(columns);
  const zeroPoints = new Uint8Array(columns);
  for (let column = 0; column < columns; column++) {
    const [from, to] = [low[column] ?? 0, high[column] ?? 0];
    const scale = (to - from) / 255;
    scales[column] = scale < TINY ? 1 : scale;
    zeroPoints[column] = scale < TINY ? 0 : roundHalfEven(-from / scale);
  }
  const values = new Uint8Array(weights.length);
  eachOf(weights, columns, (i, column) => {
    const steps = Math.fround((weights[i] ?? 0) / (scales[column] ?? 1));
    values[i] = clamp(roundHalfEven(steps) + (zeroPoints[column] ?? 0), 255);
  });
  return { values, scales, zeroPoints };
}

/**
 * Quantizes to 4 bits, symmetric, in blocks of {@link BLOCK} weights of a row: the weight of largest magnitude is -8.
 *
 * @param weights [rows, columns]
 */
export function quantizeBlocks(weights: Float32Array, columns: number): QuantizedBlocks {
  const blocks = Math.ceil(columns / BLOCK);
  const rows = weights.length / columns;
  const values = new Uint8Array((rows * blocks * BLOCK) / 2);
  const scales = new Float32Array(rows * blocks);
  for (let row = 0; row < rows; row++)
    for (let block = 0; block < blocks; block++) {
      const at = row * blocks + block;
      const begin = row * columns + block * BLOCK;
      const own = weights.subarray(begin, Math.min(begin + BLOCK, (row + 1) * columns));
      let largest = 0;
      for (const weight of own) if (Math.abs(weight) > Math.abs(largest)) largest = weight;
      const scale = Math.fround(largest / -8);
      scales[at] = scale;
      const factor = scale === 0 ? 0 : Math.fround(1 / scale);
      for (const [i, weight] of own.entries()) {
        const value = clamp(Math.round(Math.fround(weight * factor) + 8), 15);
        const byte = (at * BLOCK + i) >> 1;
        const before = values[byte] ?? 0;
        values[byte] = i % 2 === 0 ? (before & 0xf0) | value : (before & 0x0f) | (value << 4);
      }
    }
  return { values, scales };
}

/** float16's largest number. */
const LARGEST_HALF = 65504;

/** The bits of float16, rounded once; what is larger than its largest number, such as a mask's lowest, becomes that number. */
export function toFloat16(values: Float32Array): Uint16Array {
  const bits = new Uint32Array(1);
  const float = new Float32Array(bits.buffer);
  const result = new Uint16Array(values.length);
  for (let i = 0; i < values.length; i++) {
    const value = values[i] ?? 0;
    float[0] = value;
    const sign = ((bits[0] ?? 0) >>> 16) & 0x8000;
    result[i] = sign | halfOf(Math.abs(value), ((bits[0] ?? 0) >>> 23) & 0xff);
  }
  return result;
}

/**
 * @param magnitude not negative
 * @param exponent float32's, with its bias of 127
 */
function halfOf(magnitude: number, exponent: number): number {
  if (Number.isNaN(magnitude)) return 0x7e00;
  if (magnitude >= LARGEST_HALF) return 0x7bff;
  // Below 2^-14 numbers are 2^-24 apart; above, 2^10 of them lie between two powers of two. A carry into the exponent is right.
  if (exponent < 113) return roundHalfEven(magnitude * 2 ** 24);
  return ((exponent - 113) << 10) + roundHalfEven(magnitude * 2 ** (137 - exponent));
}

/** To the nearest integer, halves to the even one. */
export function roundHalfEven(value: number): number {
  const rounded = Math.round(value);
  return rounded - value === 0.5 && rounded % 2 !== 0 ? rounded - 1 : rounded;
}

function clamp(value: number, most: number): number {
  return Math.min(Math.max(value, 0), most);
}

function eachOf(
  weights: Float32Array,
  columns: number,
  visit: (index: number, column: number) => void,
): void {
  for (let i = 0, column = 0; i < weights.length; i++, column++) {
    if (column === columns) column = 0;
    visit(i, column);
  }
}
