// How a model is exported, as a script or a command asks for it.
import { expected } from '../util/errors.js';

/** By transformers.js' names. */
export const onnxDtypes = ['fp32', 'fp16', 'q8', 'q4'] as const;
/**
 * How an exported model stores its weights, by the names of transformers.js: float32, float16, 8 or 4 bits.
 *
 * @example
 * ```ts
 * import type { OnnxDtype } from 'bertune';
 *
 * const dtypes: OnnxDtype[] = ['fp32', 'q8'];
 * ```
 */
export type OnnxDtype = (typeof onnxDtypes)[number];

/** The version of ONNX's operators that the oldest runtimes in use know, and the newest in which the graphs mean the same. */
export const OPSET = 17;
export const LAST_OPSET = 21;

/** What transformers.js takes in Node and in a browser where no dtype is named. */
export const USUAL_DTYPES: readonly OnnxDtype[] = ['fp32', 'q8'];

/** In points: hundredths of the metric. */
export const USUAL_DROP = 1;

export interface ExportSettings {
  /** The files to write, each once. */
  readonly dtypes: readonly OnnxDtype[];
  readonly opset: number;
  /** In points. */
  readonly maxMetricDrop: number;
  /** Patterns of tensors. */
  readonly keepFloat: readonly string[] | 'auto';
}

/** Checks what was asked for, and completes it. @throws UsageError naming the setting */
export function exportSettings(asked: {
  [K in keyof ExportSettings]?: ExportSettings[K] | undefined;
}): ExportSettings {
  const { dtypes = USUAL_DTYPES, opset = OPSET, maxMetricDrop = USUAL_DROP, keepFloat = [] } = asked;
  const known = `some of ${onnxDtypes.join(', ')}`;
  if (!Array.isArray(dtypes) || dtypes.length === 0) throw expected(known, 'dtypes', dtypes);
  for (const dtype of dtypes)
    if (!onnxDtypes.some((name) => name === dtype)) throw expected(known, 'dtypes', dtype);
  if (!Number.isInteger(opset) || opset < OPSET || opset > LAST_OPSET)
    throw expected(`a whole number from ${OPSET} to ${LAST_OPSET}`, 'opset', opset);
  if (!(maxMetricDrop >= 0)) throw expected('a number of at least 0', 'maxMetricDrop', maxMetricDrop);
  if (keepFloat !== 'auto' && !Array.isArray(keepFloat))
    throw expected('auto, or a list of tensor names or patterns', 'keepFloat', keepFloat);
  return { dtypes: [...new Set(dtypes)], opset, maxMetricDrop, keepFloat };
}
