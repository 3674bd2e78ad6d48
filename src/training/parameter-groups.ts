// Which optimizer trains, and how each tensor is trained in each step: frozen or not, and with which share of the learning
// rate. Pure functions of the options and the step, so that a resumed run is exact.
import type { TrainingArguments } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import type { Lora } from '../models/lora.js';
import type { OptimizerName, TensorSettings } from '../native/index.js';
import { matchingNames } from '../models/parameters.js';

/** The optimizer that HF's name stands for. */
export function optimizerOf({ optim }: Pick<TrainingArguments, 'optim'>): OptimizerName {
  return optim === 'adamw_torch_fused' || optim === 'adamw_torch' ? 'adamw' : optim;
}

type GroupArguments = Pick<TrainingArguments, 'freeze' | 'layerLrDecay' | 'lrFactors' | 'gradualUnfreezing'>;

/** The settings of all tensors while `depth` layers are unfrozen. */
export interface ParameterGroups {
  /** How many layers below the head are unfrozen in a step; `undefined` when all always are. */
  depthAt(step: number): number | undefined;
  /** What differs from training all alike; empty when nothing does. */
  settings(depth: number | undefined): TensorSettings[];
}

/**
 * Resolves the options for a model.
 *
 * @param names all tensors of the model
 * @param lora an adapter; all that is not saved with it is frozen
 * @throws UsageError for a pattern that matches nothing, or when some step would train nothing
 */
export function parameterGroups(
  args: GroupArguments,
  names: readonly string[],
  stepsPerEpoch: number,
  lora?: Lora,
): ParameterGroups {
  const top = Math.max(-1, ...names.map(layerOf));
  const frozen = new Set((args.freeze ?? []).flatMap((pattern) => matchingNames(pattern, names, 'freeze')));
  if (lora !== undefined) for (const name of names) if (!isTrainedWith(lora, name)) frozen.add(name);
  const factors = learningRateFactors(args, names, top);
  const every = args.gradualUnfreezing === 'epoch' ? stepsPerEpoch : args.gradualUnfreezing;
  const isTrainable = (name: string, depth: number | undefined): boolean =>
    !frozen.has(name) && (depth === undefined || depthOf(name, top) <= depth);
  const groups: ParameterGroups = {
    depthAt: (step) => (every === undefined ? undefined : Math.min(Math.floor(step / every), top + 2)),
    settings: (depth) =>
      names.flatMap((name) => {
        const settings = {
          name,
          trainable: isTrainable(name, depth),
          learningRateFactor: factors.get(name) ?? 1,
        };
        return settings.trainable && settings.learningRateFactor === 1 ? [] : [settings];
      }),
  };
  if (!names.some((name) => isTrainable(name, groups.depthAt(0))))
    throw new UsageError(
      every === undefined
        ? 'freeze leaves nothing to train; leave the classifier out of it'
        : 'freeze and gradualUnfreezing leave nothing to train in the first steps; leave the classifier out of freeze',
    );
  return groups;
}

/** Whether a tensor is trained and saved with an adapter; all others are those of its base. */
export function isTrainedWith({ saved }: Lora, name: string): boolean {
  return saved.includes(name) || /\.lora_[AB]\.weight$/.test(name);
}

function learningRateFactors(
  { layerLrDecay = 1, lrFactors = {} }: GroupArguments,
  names: readonly string[],
  top: number,
): Map<string, number> {
  const factors = new Map(names.map((name) => [name, 1]));
  for (const [pattern, factor] of Object.entries(lrFactors))
    for (const name of matchingNames(pattern, names, 'lrFactors')) factors.set(name, factor); // the last one counts
  for (const [name, factor] of factors) factors.set(name, factor / layerLrDecay ** depthOf(name, top));
  return factors;
}

/** Layers between the head and a tensor: 0 for classifier and pooler, 1 for the last layer, most for embeddings. */
function depthOf(name: string, top: number): number {
  if (isBelowLayers(name)) return top + 2;
  const layer = layerOf(name);
  return layer === -1 ? 0 : top - layer + 1;
}

/** Whether the first layer reads it: embeddings, what widens them, and what all layers share. */
function isBelowLayers(name: string): boolean {
  const shared = 'embedding_hidden_mapping_in|relative_attention_bias|rel_embeddings|LayerNorm';
  return new RegExp(`^\\w+\\.(?:embeddings|encoder\\.(?:${shared})\\.)`).test(name);
}

/** The encoder layer of a tensor, or the group of layers that share it, or -1. */
function layerOf(name: string): number {
  return Number(/\.(?:layers?|albert_layer_groups)\.(\d+)\./.exec(name)?.[1] ?? -1);
}
