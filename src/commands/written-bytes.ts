// How much a training writes at least, so that a disk that is too full shows before the first step.
import type { TrainOptions } from '../options/index.js';
import { adapterShapes, type Lora } from '../models/lora.js';
import { byteLength } from '../formats/safetensors-header.js';
import { parameterShapes } from '../models/parameters.js';
import type { ModelConfig } from '../models/config.js';
import { matchingNames } from '../models/tensor-patterns.js';
import { optimizerOf } from '../training/optimizer-step.js';

type WritingOptions = Pick<
  TrainOptions,
  'saveStrategy' | 'saveOnlyModel' | 'optim' | 'momentum' | 'freeze' | 'crossValidation'
>;

/**
 * The bytes of the model in the output folder and, where there are checkpoints, of one of them: the model again, with
 * the optimizer's state of what is trained. Of an adapter only its own tensors are written.
 *
 * @throws UsageError for a pattern of `freeze` that matches nothing
 */
export function writtenBytes(options: WritingOptions, config: ModelConfig, lora?: Lora): number {
  if (options.crossValidation !== undefined) return 0; // no model is saved
  const shapes = lora === undefined ? parameterShapes(config) : adapterShapes(config, lora);
  const names = [...shapes.keys()];
  const all = [...new Set([...parameterShapes(config).keys(), ...names])];
  const frozen = new Set((options.freeze ?? []).flatMap((pattern) => matchingNames(pattern, all, 'freeze')));
  const bytes = (tensors: readonly string[]): number =>
    tensors.reduce((sum, name) => sum + byteLength({ dtype: 'F32', shape: shapes.get(name) ?? [] }), 0);
  const model = bytes(names);
  if (options.saveStrategy === 'no') return model;
  if (options.saveOnlyModel) return 2 * model;
  return 2 * model + copiesInState(options) * bytes(names.filter((name) => !frozen.has(name)));
}

/** How many numbers the optimizer keeps for each weight. */
function copiesInState(options: Pick<TrainOptions, 'optim' | 'momentum'>): number {
  const copies = { adamw: 2, adam: 2, adagrad: 1, sgd: options.momentum === 0 ? 0 : 1 };
  return copies[optimizerOf(options)];
}
