// Finds the tensors of a model among those of a checkpoint, whichever model of its family that was saved from. It knows no model:
// names and shapes are passed in.
import { counted, quoted } from '../util/text.js';
import { UsageError } from '../util/errors.js';
import { isFloat } from './safetensors-header.js';
import type { TensorSource } from './safetensors.js';

/** The tensors that a model needs, under the names that it would write. */
export interface StateDict {
  shapes: ReadonlyMap<string, readonly number[]>;
  /** What the names of an encoder begin with; files of a bare encoder lack it. */
  prefix: string;
  /** Where every tensor is the encoder's: one that the model has no place for shows that it is another model. */
  encoderScopes: readonly string[];
  /** Layers of the head, which a checkpoint may lack. Each is taken as a whole or not at all. */
  head: readonly string[];
  /** The layer of the head that gives the logits, which may be for another number of labels. */
  output: string;
  /** Set where the checkpoint's output layer is that of another task, e.g. `a BertForTokenClassification`. */
  otherTask?: string | undefined;
}

/** How a checkpoint fits a model. */
export interface StateDictMatch {
  /** Tensor of the checkpoint per parameter, under the parameter's name and in the model's order. */
  matched: Map<string, TensorSource>;
  /** Parameters that the checkpoint does not bring, to be left at their random values. */
  newlyInitialised: string[];
  /** Tensors that the model has no use for, by their names in the checkpoint. */
  unused: string[];
  /** Why parameters are newly initialised, a sentence each. */
  notes: string[];
}

/**
 * Matches names as transformers 5.18 does: with or without the prefix, LayerNorm's gamma and beta of TensorFlow days as weight
 * and bias, old `position_ids` buffers dropped. A missing layer of the head, or an output layer for another number of labels, is
 * newly initialised; anything else must be there.
 *
 * @param where what to call the checkpoint in messages, e.g. its folder
 * @throws UsageError naming the tensor that is missing, surplus in the encoder, there twice, or of another shape or dtype
 */
export function matchStateDict(
  model: StateDict,
  found: ReadonlyMap<string, TensorSource>,
  where = 'The checkpoint',
): StateDictMatch {
  const { named, unused } = renameTensors(model, found, where);
  const notes: string[] = [];
  const newlyInitialised = model.head.flatMap((layer) => {
    const reason = whyUnfit(layer, model, named);
    if (reason === undefined) return [];
    notes.push(`${layer} is newly initialised: ${reason}`);
    return [`${layer}.weight`, `${layer}.bias`].filter((name) => model.shapes.has(name));
  });
  const matched = new Map<string, TensorSource>();
  for (const [name, shape] of model.shapes) {
    if (newlyInitialised.includes(name)) continue;
    matched.set(name, checkTensor(name, shape, named.get(name), found, where));
  }
  return { matched, newlyInitialised, unused, notes };
}

function renameTensors(
  { shapes, prefix, encoderScopes }: StateDict,
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
    const candidates = [current, prefix + current];
    const name = candidates.find((candidate) => shapes.has(candidate)) ?? nameOfTied(current, shapes, found);
    if (name === undefined) {
      if (candidates.some((candidate) => encoderScopes.some((scope) => candidate.startsWith(scope))))
        throw new UsageError(
          `${where} has the tensor ${quoted(original)}, for which a model of its config.json has no place; check that the two belong together`,
        );
      unused.push(original);
      continue;
    }
    const other = named.get(name);
    if (other) throw new UsageError(`${where} has two tensors for ${name}: ${other.name} and ${original}`);
    named.set(name, source);
  }
  return { named, unused };
}

/** The bias of a decoder is in files once, or twice under two names, which are one parameter. */
function nameOfTied(
  name: string,
  shapes: StateDict['shapes'],
  found: ReadonlyMap<string, TensorSource>,
): string | undefined {
  const own = name.replace(/\.decoder\.bias$/, '.bias');
  return own !== name && shapes.has(own) && !found.has(own) ? own : undefined;
}

/** The reason to leave out a layer of the head, or undefined when the checkpoint has a fitting one. */
function whyUnfit(
  layer: string,
  { shapes, output, otherTask }: StateDict,
  named: ReadonlyMap<string, TensorSource>,
): string | undefined {
  const [weight, bias] = [named.get(`${layer}.weight`), named.get(`${layer}.bias`)];
  const isMissing = (kind: string): boolean =>
    shapes.has(`${layer}.${kind}`) && !named.has(`${layer}.${kind}`);
  if (isMissing('weight') || isMissing('bias')) return 'the checkpoint has none';
  if (layer !== output || !weight) return undefined;
  if (otherTask !== undefined) return `the checkpoint is ${otherTask}`;
  const [labels = 0, inputs] = shapes.get(`${layer}.weight`) ?? [];
  const [theirs = 0, width] = weight.shape;
  if (width !== inputs || bias?.shape[0] !== theirs || theirs === labels) return undefined;
  return `the checkpoint's is for ${counted(theirs, 'label')}, not ${labels}`;
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
        `${quoted(example)}); check that its config.json belongs to it`,
    );
  }
  if (source.shape.join() !== shape.join()) {
    throw new UsageError(
      `${where} has the tensor ${source.name} with shape [${source.shape.join(', ')}] but its config.json ` +
        `makes it [${shape.join(', ')}]; check that the two belong together`,
    );
  }
  if (!isFloat(source.dtype)) {
    throw new UsageError(
      `${where} has the tensor ${source.name} as ${source.dtype}; bertune reads F32, F16 and BF16 weights`,
    );
  }
  return source;
}
