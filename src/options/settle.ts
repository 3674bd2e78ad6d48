// What follows from the options that were given: defaults that depend on others, and options that have no effect.
import { isGreaterBetter } from '../tasks/index.js';
import type { TrainingArguments } from './commands.js';
import { factsOf } from './option.js';
import { options as table } from './options.js';
import type { NameOf } from './rules/index.js';
import { adaptiveTypes, isAdaptive, kwargSpelledLike } from './schedulers.js';

/**
 * Fills in what HF fills in: `evalSteps` from `loggingSteps`, `metricForBestModel` (`loss`) where the best model is
 * asked for, and `greaterIsBetter`. Unlike HF, which takes only names that end in `loss` for errors, mse and mae are
 * known to be better when smaller.
 */
export function settleTrainOptions<T extends TrainingArguments>(options: T): T {
  const settled = { ...options };
  if (options.evalStrategy === 'steps') settled.evalSteps ??= options.loggingSteps;
  if (comparesMetrics(options)) settled.metricForBestModel ??= 'loss';
  if (settled.metricForBestModel !== undefined) {
    settled.metricForBestModel = settled.metricForBestModel.replace(/^eval_/, '');
    settled.greaterIsBetter ??= isGreaterBetter(settled.metricForBestModel);
  }
  if (options.resumeFromCheckpoint === false) delete settled.resumeFromCheckpoint;
  return settled;
}

/** Whether something of the run depends on a metric. */
function comparesMetrics(o: TrainingArguments): boolean {
  return (
    o.loadBestModelAtEnd ||
    o.saveStrategy === 'best' ||
    o.earlyStoppingPatience !== undefined ||
    isAdaptive(o.lrSchedulerType)
  );
}

/** One note for each option that was changed but that another one makes meaningless. */
export function withoutEffect(o: TrainingArguments, name: NameOf): string[] {
  const changed = (
    option:
      | 'evalSteps'
      | 'evalDelay'
      | 'saveSteps'
      | 'warmupSteps'
      | 'numTrainEpochs'
      | 'greaterIsBetter'
      | 'earlyStoppingThreshold'
      | 'saveTotalLimit'
      | 'saveOnlyModel',
  ): boolean => o[option] !== undefined && o[option] !== factsOf(table[option]).fallback;
  const cases: [boolean, string, string][] = [
    [
      changed('evalSteps') && o.evalStrategy !== 'steps',
      name('evalSteps'),
      `${name('evalStrategy')} is ${o.evalStrategy}`,
    ],
    [
      changed('evalDelay') && o.evalStrategy === 'no',
      name('evalDelay'),
      `${name('evalStrategy')} is ${o.evalStrategy}`,
    ],
    [
      changed('earlyStoppingThreshold') && o.earlyStoppingPatience === undefined,
      name('earlyStoppingThreshold'),
      `${name('earlyStoppingPatience')} is not given`,
    ],
    ...(['saveTotalLimit', 'saveOnlyModel'] as const).map((option): [boolean, string, string] => [
      changed(option) && o.saveStrategy === 'no',
      name(option),
      `${name('saveStrategy')} is no`,
    ]),
    [
      changed('saveSteps') && o.saveStrategy !== 'steps',
      name('saveSteps'),
      `${name('saveStrategy')} is ${o.saveStrategy}`,
    ],
    [
      changed('warmupSteps') && ['constant', ...adaptiveTypes].includes(o.lrSchedulerType),
      name('warmupSteps'),
      `${name('lrSchedulerType')} is ${o.lrSchedulerType} (constant_with_warmup has a warmup)`,
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
      changed('greaterIsBetter') && o.metricForBestModel === undefined && !comparesMetrics(o),
      name('greaterIsBetter'),
      `${name('metricForBestModel')} is not given`,
    ],
  ];
  return cases.filter(([applies]) => applies).map(([, option, why]) => `${option} has no effect: ${why}`);
}
