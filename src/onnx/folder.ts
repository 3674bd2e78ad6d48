// The folder that transformers.js loads: config.json, the tokenizer's files and onnx/model.onnx. It is written under another name,
// checked there, and takes its place as a whole.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { writeOnnx } from '../formats/onnx.js';
import type { Tokenizer } from '../tokenizer/tokenizer.js';
import { RunError, UsageError } from '../util/errors.js';
import { isFolder } from '../util/file-system.js';
import { writeDirectoryAtomic, writeJson } from '../util/files.js';
import { isObject, readJson } from '../util/json.js';
import { checkFile, type Checked } from './check.js';
import { modelGraph, type LastToken } from './encoder.js';
import { contentOf } from './graph.js';
import type { SessionSpec } from '../native/index.js';

const MODEL = 'model.onnx';

/** All that an export writes: a folder with nothing else in it may be replaced. */
const OWN = new Set(['config.json', 'tokenizer.json', 'tokenizer_config.json', 'vocab.txt', 'onnx']);
const OWN_IN_ONNX = new Set([MODEL, `${MODEL}_data`]);

/**
 * What became of an export.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification, type OnnxExport } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('out');
 * const { bytes, check }: OnnxExport = await model.exportOnnx('out-onnx');
 * console.log(bytes, check?.difference);
 * await model.close();
 * ```
 */
export interface OnnxExport {
  /** Of the model in ONNX. */
  readonly bytes: number;
  /** Largest difference of logits between onnxruntime and the model, and on how many rows; null where onnxruntime-node is not installed. */
  readonly check: { readonly rows: number; readonly difference: number } | null;
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
export interface Exported extends Omit<Checked, 'spec' | 'lastToken'> {
  readonly spec: Pick<SessionSpec, 'encoder' | 'head' | 'parameters'>;
  /** The content of config.json. */
  readonly config: Readonly<Record<string, unknown>>;
  readonly text: TextEnd | undefined;
  /** A tensor by its name in Hugging Face's files, adapters merged. */
  read(name: string): Promise<Float32Array>;
}

/**
 * Writes the folder.
 *
 * @throws UsageError where the folder holds something else than an earlier export; RunError when it cannot be written, or its
 *   logits are not those of the model
 */
export async function exportFolder(directory: string, model: Exported): Promise<OnnxExport> {
  await requireReplaceable(directory);
  const { spec, text, temperature } = model;
  const lastToken = text && lastTokenOf(text);
  const graph = modelGraph(spec, { temperature, lastToken });
  let result: OnnxExport | undefined;
  await writeDirectoryAtomic(directory, async (folder) => {
    try {
      const path = join(folder, 'onnx', MODEL);
      const { bytes, hasExternalData } = await writeOnnx(path, graph, (tensor) =>
        contentOf(tensor, (name) => model.read(name)),
      );
      // The first is what transformers.js takes in a browser in place of q8, which is not there.
      const clients = {
        dtype: 'fp32',
        ...(hasExternalData && { use_external_data_format: { [MODEL]: 1 } }),
      };
      await writeJson(join(folder, 'config.json'), { ...model.config, 'transformers.js_config': clients });
      if (text !== undefined) await saveTokenizer(folder, text, spec.encoder.embeddings.tokenTypes);
      result = { bytes, check: await checkFile(path, { ...model, lastToken }) };
    } catch (error) {
      if (!(error instanceof RunError)) throw error;
      throw new RunError(error.message.replaceAll(folder, directory), { cause: error }); // the name that it was to have
    }
  });
  if (result === undefined) throw new Error('The folder was not filled');
  return result;
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
    (inOnnx.includes(MODEL) ? undefined : names[0]);
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
