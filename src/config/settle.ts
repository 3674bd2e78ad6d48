// What follows from the options that were given: defaults that depend on others, and options that have no effect.
import { isGreaterBetter } from '../evaluation/metrics.js';
import type { TrainingArguments } from './commands.js';
import { factsOf } from './option.js';
import { options as table } from './options.js';
import type { NameOf } from './rules.js';
import { kwargSpelledLike } from './schedulers.js';

/**
 * Fills in what HF fills in: `evalSteps` from `loggingSteps`, `metricForBestModel` (`loss`) where the best model is
 * asked for, and `greaterIsBetter`. Unlike HF, which takes only names that end in `loss` for errors, mse and mae are
 * known to be better when smaller.
 */
export function settleTrainOptions<T extends TrainingArguments>(options: T): T {
  const settled = { ...options };
  if (options.evalStrategy === 'steps') settled.evalSteps ??= options.loggingSteps;
  if (options.loadBestModelAtEnd) settled.metricForBestModel ??= 'loss';
  if (settled.metricForBestModel !== undefined) {
    settled.metricForBestModel = settled.metricForBestModel.replace(/^eval_/, '');
    settled.greaterIsBetter ??= isGreaterBetter(settled.metricForBestModel);
  }
  if (options.resumeFromCheckpoint === false) delete settled.resumeFromCheckpoint;
  return settled;
}

/** One note for each option that was changed but that another one makes meaningless. */
export function withoutEffect(o: TrainingArguments, name: NameOf): string[] {
  const changed = (
    option: 'evalSteps' | 'saveSteps' | 'warmupSteps' | 'numTrainEpochs' | 'greaterIsBetter',
  ): boolean => o[option] !== undefined && o[option] !== factsOf(table[option]).fallback;
  const cases: [boolean, string, string][] = [
    [
      changed('evalSteps') && o.evalStrategy !== 'steps',
      name('evalSteps'),
      `${name('evalStrategy')} is ${o.evalStrategy}`,
    ],
    [
      changed('saveSteps') && o.saveStrategy !== 'steps',
      name('saveSteps'),
      `${name('saveStrategy')} is ${o.saveStrategy}`,
    ],
    [
      changed('warmupSteps') && o.lrSchedulerType === 'constant',
      name('warmupSteps'),
      `${name('lrSchedulerType')} is constant (constant_with_warmup has a warmup)`,
    ],
    [
      changed('warmupSteps') && o.lrSchedulerType === 'slanted_triangular',
      name('warmupSteps'),
      `${name('lrSchedulerType')} is slanted_triangular (${kwargSpelledLike(name('lrSchedulerKwargs'), 'cutFrac')} in ${name('lrSchedulerKwargs')} is its warmup)`,
    ],
    [
      changed('numTrainEpochs') && o.maxSteps > 0,
      name('numTrainEpochs'),
      `${name('maxSteps')} is ${o.maxSteps}`,
    ],
    [
      changed('greaterIsBetter') && o.metricForBestModel === undefined && !o.loadBestModelAtEnd,
      name('greaterIsBetter'),
      `${name('metricForBestModel')} is not given`,
    ],
  ];
  return cases.filter(([applies]) => applies).map(([, option, why]) => `${option} has no effect: ${why}`);
}
