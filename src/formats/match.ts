// Finds the tensors of a BERT classifier among those of a checkpoint, whatever BERT model it was saved from.

import { counted } from '../util/counted.js';
import { UsageError } from '../util/errors.js';
import type { BertConfig } from '../models/config.js';
import { parameterShapes } from '../models/parameters.js';
import type { TensorSource } from './safetensors-reader.js';
import { quoted } from '../util/text.js';

/** How a checkpoint fits a model. */
export interface TensorMatch {
  /** Tensor of the checkpoint per parameter, under the parameter's name and in the model's order. */
  matched: Map<string, TensorSource>;
  /** Parameters that the checkpoint does not bring, to be left at their random values. */
  newlyInitialised: string[];
  /** Tensors that the model has no use for, by their names in the checkpoint. */
  unused: string[];
  /** Why parameters are newly initialised, a sentence each. */
  notes: string[];
}

/** The parts that a checkpoint of another task may lack. Each is taken as a whole or not at all. */
const OPTIONAL_PARTS = ['bert.pooler.dense', 'classifier'];

const FLOAT_DTYPES = new Set(['F32', 'F16', 'BF16']);

/**
 * Matches names as transformers 5.18 does: with or without the `bert.` prefix, LayerNorm's gamma and beta of
 * TensorFlow days as weight and bias, old `position_ids` buffers dropped. A missing pooler, a missing
 * classifier, or one for another number of labels is newly initialised; anything else must be there.
 *
 * @param where what to call the checkpoint in messages, e.g. its folder
 * @throws UsageError naming the tensor that is missing, is there twice, or has another shape or dtype
 */
export function matchTensors(
  config: BertConfig,
  found: ReadonlyMap<string, TensorSource>,
  where = 'The checkpoint',
): TensorMatch {
  const shapes = parameterShapes(config);
  const { named, unused } = renameTensors(shapes, found, where);
  const notes: string[] = [];
  const newlyInitialised = OPTIONAL_PARTS.flatMap((part) => {
    const note = whyUnfit(part, config, named);
    if (note === undefined) return [];
    notes.push(note);
    return [`${part}.weight`, `${part}.bias`];
  });
  const matched = new Map<string, TensorSource>();
  for (const [name, shape] of shapes) {
    if (newlyInitialised.includes(name)) continue;
    matched.set(name, checkTensor(name, shape, named.get(name), found, where));
  }
  return { matched, newlyInitialised, unused, notes };
}

function renameTensors(
  shapes: ReadonlyMap<string, unknown>,
  found: ReadonlyMap<string, TensorSource>,
  where: string,
): { named: Map<string, TensorSource>; unused: string[] } {
  const named = new Map<string, TensorSource>();
  const unused: string[] = [];
  for (const [original, source] of found) {
    if (/(^|\.)position_ids$/.test(original)) continue;
    const current = original
      .replace('LayerNorm.gamma', 'LayerNorm.weight')
      .replace('LayerNorm.beta', 'LayerNorm.bias');
    const name = [current, `bert.${current}`].find((candidate) => shapes.has(candidate));
    if (name === undefined) {
      unused.push(original);
      continue;
    }
    const other = named.get(name);
    if (other) throw new UsageError(`${where} has two tensors for ${name}: ${other.name} and ${original}`);
    named.set(name, source);
  }
  return { named, unused };
}

/** The reason to leave out a part of the model, or undefined when the checkpoint has a fitting one. */
function whyUnfit(
  part: string,
  config: BertConfig,
  named: ReadonlyMap<string, TensorSource>,
): string | undefined {
  const weight = named.get(`${part}.weight`);
  const bias = named.get(`${part}.bias`);
  const intro = `${part} is newly initialised:`;
  if (!weight || !bias) return `${intro} the checkpoint has none`;
  const labels = weight.shape[0];
  const isHead = part === 'classifier' && weight.shape[1] === config.hiddenSize && bias.shape[0] === labels;
  if (!isHead || labels === config.numLabels) return undefined;
  return `${intro} the checkpoint's is for ${counted(labels ?? 0, 'label')}, not ${config.numLabels}`;
}

function checkTensor(
  name: string,
  shape: readonly number[],
  source: TensorSource | undefined,
  found: ReadonlyMap<string, TensorSource>,
  where: string,
): TensorSource {
  if (!source) {
    const [example] = found.keys();
    throw new UsageError(
      `${where} lacks the tensor ${name} of shape [${shape.join(', ')}] (it has ${counted(found.size, 'tensor')}, the first is ` +
        `${quoted(example)}); check that it is a BERT and that its config.json belongs to it`,
    );
  }
  if (source.shape.join() !== shape.join()) {
    throw new UsageError(
      `${where} has the tensor ${source.name} with shape [${source.shape.join(', ')}] but its config.json ` +
        `makes it [${shape.join(', ')}]; check that the two belong together`,
    );
  }
  if (!FLOAT_DTYPES.has(source.dtype)) {
    throw new UsageError(
      `${where} has the tensor ${source.name} as ${source.dtype}; bertune reads F32, F16 and BF16 weights`,
    );
  }
  return source;
}
