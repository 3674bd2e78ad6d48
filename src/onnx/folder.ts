// The folder that transformers.js loads: config.json, the tokenizer's files and the models in onnx/. It is written under another
// name, checked there, and takes its place as a whole.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { RunError, UsageError } from '../util/errors.js';
import { isFolder } from '../util/file-system.js';
import { writeDirectoryAtomic, writeJson } from '../util/files.js';
import { isObject, readJson } from '../util/json.js';
import { Checker, type Checked } from './check.js';
import { modelGraph, type LastToken } from './encoder.js';
import { loadOnnxRuntime } from './runtime.js';
import type { OnnxDtype } from './settings.js';
import { FILES } from './variants.js';
import { writeVariant, type OnnxVariant, type VariantSource } from './write-variant.js';
import type { SessionSpec } from '../native/index.js';

/** All that an export writes: a folder with nothing else in it may be replaced. */
const OWN = new Set(['config.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt', 'onnx']);
const MODELS = Object.values(FILES);
const OWN_IN_ONNX = new Set(MODELS.flatMap((name) => [name, `${name}_data`]));

/**
 * What became of an export.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type OnnxExport } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const { variants }: OnnxExport = await model.exportOnnx('out-onnx');
 * for (const { file, bytes, figures } of variants) console.log(file, bytes, figures?.difference);
 * await model.close();
 * ```
 */
export interface OnnxExport {
  /** The files that were asked for, in the order of their request. */
  readonly variants: readonly OnnxVariant[];
  /** Metrics of the model itself on the validation rows; null without such rows. */
  readonly metrics: Readonly<Record<string, number>> | null;
}

/** How texts are cut and ended for the model. */
export interface TextEnd {
  readonly tokenizer: Tokenizer;
  /** Tokens that a text may have. */
  readonly maxLength: number;
  /** Whether it reads pairs of texts; undefined where that is not known. */
  readonly readsPairs: boolean | undefined;
}

/** A model to be exported. */
export interface Exported
  extends Omit<Checked, 'spec' | 'lastToken'>, Pick<VariantSource, 'keepFloat' | 'read'> {
  readonly spec: Pick<SessionSpec, 'encoder' | 'head' | 'parameters'>;
  /** The content of config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly text: TextEnd | undefined;
  readonly dtypes: readonly OnnxDtype[];
  readonly opset: number;
}

/**
 * Writes the folder. A file that is not fit for use is left out, unless it is the only one that was asked for.
 *
 * @throws UsageError where the folder holds something else than an earlier export, and for validation rows without
 *   onnxruntime-node; RunError when it cannot be written, its float32 logits are not those of the model, or no file is fit
 */
export async function exportFolder(directory: string, model: Exported): Promise<OnnxExport> {
  await requireReplaceable(directory);
  const { text, temperature, opset } = model;
  const spec = withTypesOf(text, model.spec);
  const lastToken = text && lastTokenOf(text);
  const source = { ...model, spec, graph: modelGraph(spec, { temperature, lastToken, opset }) };
  const checker = await checkerOf({ ...model, spec }, lastToken);
  const variants: OnnxVariant[] = [];
  await writeDirectoryAtomic(directory, async (folder) => {
    try {
      for (const dtype of model.dtypes) {
        const variant = await writeVariant(folder, dtype, source, checker);
        if (dtype === 'fp32' && variant.refusal !== null)
          throw new RunError(
            `The exported model was not written: in onnxruntime ${variant.refusal}; please report this with the config.json of the model`,
          );
        variants.push(variant);
      }
      const written = variants.filter(({ refusal }) => refusal === null);
      if (written.length === 0) throw new RunError(noneFit(variants));
      const clients = clientSettings(written);
      await writeJson(join(folder, 'config.json'), {
        ...model.config,
        ...(Object.keys(clients).length > 0 && { 'transformers.js_config': clients }),
      });
      if (text !== undefined) await saveTokenizer(folder, text, spec.encoder.embeddings.tokenTypes);
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      throw new RunError(error.message.replaceAll(folder, directory), { cause: error }); // the name that it was to have
    }
  });
  return { variants, metrics: checker?.metrics ?? null };
}

/**
 * Without an input of token types where the tokenizer gives none, as ALBERT's: transformers.js would make some of its own, and the
 * model has only ever seen the first.
 */
function withTypesOf(text: TextEnd | undefined, spec: Exported['spec']): Exported['spec'] {
  const { encoder } = spec;
  const { tokenTypes } = encoder.embeddings;
  if (text === undefined || text.tokenizer.tokenTypes > 1 || tokenTypes < 2) return spec;
  return { ...spec, encoder: { ...encoder, embeddings: { ...encoder.embeddings, tokenTypes: 1 } } };
}

/** @returns null where onnxruntime-node is not installed */
async function checkerOf(model: Exported, lastToken: LastToken | undefined): Promise<Checker | null> {
  const runtime = await loadOnnxRuntime();
  if (runtime !== null) return Checker.create(runtime, { ...model, lastToken });
  if (model.validation === undefined && model.keepFloat !== 'auto') return null;
  throw new UsageError(
    'Exported files are compared with the model by onnxruntime-node, which is not installed: npm install --no-save onnxruntime-node',
  );
}

function noneFit(variants: readonly OnnxVariant[]): string {
  const reasons = variants.map(({ dtype, refusal }) => `${dtype}: ${refusal}`).join('; ');
  return `No file was fit for use, and nothing was written: ${reasons}`;
}

/** What transformers.js asks for where a page or script names no dtype: q8 in a browser, float32 in Node. */
function clientSettings(written: readonly OnnxVariant[]): Record<string, unknown> {
  const names = written.map(({ dtype }) => dtype);
  const external = written.filter(({ hasExternalData }) => hasExternalData);
  return {
    ...(!(names.includes('q8') && names.includes('fp32')) && { dtype: names.at(0) }),
    ...(external.length > 0 && {
      use_external_data_format: Object.fromEntries(external.map(({ dtype }) => [FILES[dtype], 1])),
    }),
  };
}

/** @throws UsageError for a folder with other files than those of an export */
export async function requireReplaceable(directory: string): Promise<void> {
  if (!(await isFolder(directory))) return;
  const names = await readdir(directory);
  if (names.length === 0) return;
  const inOnnx = (await isFolder(join(directory, 'onnx'))) ? await readdir(join(directory, 'onnx')) : [];
  const foreign =
    names.find((name) => !OWN.has(name)) ??
    inOnnx.find((name) => !OWN_IN_ONNX.has(name)) ??
    (inOnnx.some((name) => MODELS.includes(name)) ? undefined : names[0]);
  if (foreign !== undefined)
    throw new UsageError(
      `${directory} holds ${foreign}, which is not of an earlier export and would be removed; name a new folder`,
    );
}

/** The token behind a single text, where one is enough to end it: pairs are cut in other ways. */
function lastTokenOf({ tokenizer, maxLength, readsPairs }: TextEnd): LastToken | undefined {
  const [, after] = tokenizer.specialsAround;
  const id = tokenizer.encode('').ids.at(-1);
  return readsPairs === true || after !== 1 || id === undefined ? undefined : { id, maxLength };
}

/**
 * The tokenizer as transformers.js needs it: it cuts texts at `model_max_length` alone, pads where `padding_side` says, and gives
 * token types only for classes that it knows.
 */
async function saveTokenizer(
  folder: string,
  { tokenizer, maxLength, readsPairs }: TextEnd,
  tokenTypes: number,
): Promise<void> {
  await tokenizer.savePretrained(folder);
  const path = join(folder, 'tokenizer_config.json');
  const config = await readJson(path);
  if (!isObject(config)) throw new Error(`${path} is not what the tokenizer writes`);
  const needsTypes = tokenTypes > 1 && tokenizer.tokenTypes > 1 && readsPairs !== false;
  await writeJson(path, {
    ...config,
    model_max_length: maxLength,
    padding_side: 'right',
    ...(needsTypes &&
      config['tokenizer_class'] === 'TokenizersBackend' && { tokenizer_class: 'BertTokenizer' }),
  });
}
