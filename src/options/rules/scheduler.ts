// Whether the arguments of a learning-rate schedule fit the schedule, each other and the learning rate.
import type { TrainingArguments } from '../commands.js';
import type { NameOf, Problem, Rule } from './rule.js';
import { defaultLrEnd, greedyMinLr, kwargSpelledLike, kwargsOf, type SchedulerType } from '../schedulers.js';

/** The rules of `lrSchedulerKwargs`, in the order in which their answers help. */
export const schedulerRules: readonly Rule<TrainingArguments>[] = [
  ownKwargs,
  decaySteps,
  oneMinimum,
  belowLearningRate,
];

function ownKwargs(o: TrainingArguments, name: NameOf): Problem | undefined {
  const own: readonly string[] = kwargsOf[o.lrSchedulerType];
  const stray = Object.keys(o.lrSchedulerKwargs ?? {}).find((kwarg) => !own.includes(kwarg));
  if (stray === undefined) return undefined;
  const spelled = spelling(name);
  const takes = own.length === 0 ? 'it takes no arguments' : `it takes ${own.map(spelled).join(', ')}`;
  return {
    about: 'lrSchedulerKwargs',
    message: `${name('lrSchedulerType')} ${o.lrSchedulerType} takes no ${spelled(stray)} in ${name('lrSchedulerKwargs')}; ${takes}`,
  };
}

function decaySteps(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.lrSchedulerType !== 'warmup_stable_decay' || o.lrSchedulerKwargs?.numDecaySteps !== undefined)
    return undefined;
  return missing(o, name, `${spelling(name)('numDecaySteps')}, the steps of the decay at the end`);
}

function oneMinimum(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (!kwargsOf[o.lrSchedulerType].includes('minLrRate')) return undefined;
  const { minLr, minLrRate } = o.lrSchedulerKwargs ?? {};
  const [absolute, relative] = [spelling(name)('minLr'), spelling(name)('minLrRate')];
  if (minLr === undefined && minLrRate === undefined) {
    return missing(o, name, `${absolute}, the lowest learning rate, or ${relative}, its share of the peak`);
  }
  if (minLr === undefined || minLrRate === undefined) return undefined;
  return {
    about: 'lrSchedulerKwargs',
    message: `${absolute} and ${relative} in ${name('lrSchedulerKwargs')} exclude each other; keep one of them`,
  };
}

/** Of the schedules in which HF has one; the others end at 0 or need it given. */
const defaultEnds: Partial<Record<SchedulerType, number>> = { polynomial: defaultLrEnd, greedy: greedyMinLr };

/**
 * HF raises for `lr_end`; a minimum above the peak would let the rate rise where a decay was asked for, and keeps
 * `greedy` from ever lowering it, which HF's default does at any learning rate that suits BERT.
 */
function belowLearningRate(o: TrainingArguments, name: NameOf): Problem | undefined {
  const { learningRate, lrSchedulerKwargs = {} } = o;
  const kwarg = o.lrSchedulerType === 'polynomial' ? 'lrEnd' : 'minLr';
  const end = lrSchedulerKwargs[kwarg] ?? defaultEnds[o.lrSchedulerType];
  if (end === undefined || end < learningRate) return undefined;
  return {
    about: lrSchedulerKwargs[kwarg] === undefined ? 'learningRate' : 'lrSchedulerKwargs',
    message: `${spelling(name)(kwarg)} in ${name('lrSchedulerKwargs')} is ${end}, which must be below ${name('learningRate')} ${learningRate}`,
  };
}

function missing(o: TrainingArguments, name: NameOf, what: string): Problem {
  return {
    about: o.lrSchedulerKwargs === undefined ? 'lrSchedulerType' : 'lrSchedulerKwargs',
    message: `${name('lrSchedulerType')} ${o.lrSchedulerType} needs ${name('lrSchedulerKwargs')} with ${what}`,
  };
}

function spelling(name: NameOf): (kwarg: string) => string {
  return (kwarg) => kwargSpelledLike(name('lrSchedulerKwargs'), kwarg);
}
