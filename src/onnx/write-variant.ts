// One file of an export: written, compared with the model, and removed again where it is not fit for use. Where that is asked for,
// a file that is not is tried again with as few layers in float32 as make it fit.
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { writeOnnx } from '../formats/onnx.js';
import type { SessionSpec } from '../native/index.js';
import type { Checker, Verdict } from './check.js';
import type { OnnxFigures } from './comparison.js';
import { contentReader, type ModelGraph } from './graph.js';
import type { OnnxDtype } from './settings.js';
import { FILES, variantOf } from './variants.js';

/**
 * A file of an export, or one that was refused.
 *
 * @example
 * ```ts
 * import type { OnnxVariant } from 'bertune';
 *
 * const show = ({ file, bytes, refusal }: OnnxVariant): void => console.log(file, refusal ?? `${bytes} bytes`);
 * ```
 */
export interface OnnxVariant {
  readonly dtype: OnnxDtype;
  /** In the folder, e.g. `onnx/model.onnx`. */
  readonly file: string;
  readonly bytes: number;
  /** Whether its tensors are in a second file, since they are more than 2 GiB. */
  readonly hasExternalData: boolean;
  /** Layers that stay float32, which others of the dtype do not. */
  readonly keptFloat: readonly string[];
  /** How it compares with the model; null where onnxruntime-node is not installed. */
  readonly figures: OnnxFigures | null;
  /** Why the file was not left in the folder; null for one that was. */
  readonly refusal: string | null;
}

/** What a file is made of. */
export interface VariantSource {
  readonly graph: ModelGraph;
  readonly spec: Pick<SessionSpec, 'head' | 'parameters'>;
  /** Tensors that stay float32 in fewer bits; `auto`: those that are found to be needed. */
  readonly keepFloat: readonly string[] | 'auto';
  read(name: string): Promise<Float32Array>;
}

interface Made {
  readonly bytes: number;
  readonly hasExternalData: boolean;
  readonly verdict: Verdict | null;
}

/**
 * Writes and checks one file; one that does not pass is removed.
 *
 * @param folder of the export
 * @param checker null where nothing can be checked
 */
export async function writeVariant(
  folder: string,
  dtype: OnnxDtype,
  source: VariantSource,
  checker: Checker | null,
): Promise<OnnxVariant> {
  const file = join('onnx', FILES[dtype]);
  const path = join(folder, file);
  const { keepFloat } = source;
  const isReduced = dtype === 'q8' || dtype === 'q4';
  const all = quantizedIn(graphOf(dtype, source, []));
  let kept: readonly string[] =
    keepFloat === 'auto' || !isReduced ? [] : keepFloat.filter((name) => all.has(name));
  const make = (own: readonly string[]): Promise<Made> => makeFile(path, dtype, source, own, checker);
  let made = await make(kept);
  if (isFit(made) === false && keepFloat === 'auto' && isReduced && checker !== null) {
    const order = await layersByEffect(path, dtype, source, checker);
    const found = await fewestKept(order, async (own) => isFit(await make(own)) !== false);
    if (found !== undefined) {
      kept = found;
      made = await make(kept);
    }
  }
  const { verdict, ...rest } = made;
  if (verdict !== null && verdict.refusal !== null) await removeFile(path);
  const { figures = null, refusal = null } = verdict ?? {};
  const keptFloat = kept.map((name) => name.replace(/\.weight$/, ''));
  return { dtype, file, ...rest, keptFloat, figures, refusal };
}

/** Undefined where nothing was checked. */
function isFit({ verdict }: Made): boolean | undefined {
  return verdict === null ? undefined : verdict.refusal === null;
}

async function makeFile(
  path: string,
  dtype: OnnxDtype,
  source: VariantSource,
  kept: readonly string[],
  checker: Checker | null,
): Promise<Made> {
  const sizes = await writeFile(path, dtype, source, kept);
  return { ...sizes, verdict: checker === null ? null : await checker.check(path, dtype) };
}

function writeFile(
  path: string,
  dtype: OnnxDtype,
  source: VariantSource,
  kept: readonly string[],
): ReturnType<typeof writeOnnx> {
  return writeOnnx(
    path,
    graphOf(dtype, source, kept),
    contentReader((name) => source.read(name)),
  );
}

/** The head stays float32: it is small, and nothing evens out its errors. */
function graphOf(dtype: OnnxDtype, { graph, spec }: VariantSource, kept: readonly string[]): ModelGraph {
  const names = new Set([...kept, ...headTensors(spec)]);
  return variantOf(graph, dtype, (name) => names.has(name));
}

function headTensors({ head, parameters }: VariantSource['spec']): string[] {
  const layers = new Set(head.flatMap((stage) => ('linear' in stage ? [`${stage.linear}.weight`] : [])));
  return parameters.flatMap(({ name, tensors }) =>
    layers.has(name) ? tensors.map((tensor) => tensor.name) : [],
  );
}

async function removeFile(path: string): Promise<void> {
  for (const name of [path, `${path}_data`]) await rm(name, { force: true });
}

/** The weights that are quantized, by how much nearer to the model each brings the logits when it stays float32. */
async function layersByEffect(
  path: string,
  dtype: OnnxDtype,
  source: VariantSource,
  checker: Checker,
): Promise<string[]> {
  const errors: { name: string; error: number }[] = [];
  for (const name of quantizedIn(graphOf(dtype, source, []))) {
    await writeFile(path, dtype, source, [name]);
    const error = await checker.error(path);
    errors.push({ name, error: Number.isNaN(error) ? Infinity : error });
  }
  return errors.toSorted((a, b) => a.error - b.error).map(({ name }) => name);
}

function quantizedIn({ tensors }: ModelGraph): Set<string> {
  return new Set(
    tensors.flatMap(({ content }) =>
      content instanceof Uint8Array || content.stored === undefined ? [] : [content.name],
    ),
  );
}

/** The shortest beginning of a list that is enough, by bisection; undefined where nothing but the whole is. */
export async function fewestKept(
  order: readonly string[],
  isEnough: (kept: readonly string[]) => Promise<boolean>,
): Promise<readonly string[] | undefined> {
  let [tooFew, enough] = [0, order.length];
  while (enough - tooFew > 1) {
    const middle = Math.ceil((tooFew + enough) / 2);
    if (await isEnough(order.slice(0, middle))) enough = middle;
    else tooFew = middle;
  }
  return enough < order.length ? order.slice(0, enough) : undefined;
}
