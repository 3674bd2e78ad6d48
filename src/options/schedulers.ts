// The learning-rate schedules as options: their names, and what each takes beyond its lengths (`lr_scheduler_kwargs`).
// Names and ranges only; the formulas are in training/schedules.ts.
import { z } from 'zod';
import { expected } from '../util/errors.js';
import { nearestName } from '../util/text.js';
import { choice, integer, real, toggle, type Kind } from './kinds.js';
import { camelCase, snakeCase } from './option.js';
import { isObject } from '../util/json.js';

/** Schedules that follow from the step alone: HF's, and `slanted_triangular`. */
export const plannedTypes = [
  'linear',
  'cosine',
  'cosine_with_restarts',
  'polynomial',
  'constant',
  'constant_with_warmup',
  'inverse_sqrt',
  'cosine_with_min_lr',
  'cosine_warmup_with_min_lr',
  'warmup_stable_decay',
  'slanted_triangular',
] as const;
export type PlannedType = (typeof plannedTypes)[number];

/** HF's schedules that look at the metric of each evaluation. */
export const adaptiveTypes = ['reduce_lr_on_plateau', 'greedy'] as const;
export type AdaptiveType = (typeof adaptiveTypes)[number];

/** The names of all schedules, `lr_scheduler_type`. */
export const schedulerTypes = [...plannedTypes, ...adaptiveTypes] as const;
/**
 * Names of the learning-rate schedules, Hugging Face's and `slanted_triangular`.
 *
 * @example
 * ```ts
 * import { trainingArguments, type SchedulerType } from 'bertune';
 *
 * const lrSchedulerType: SchedulerType = 'cosine';
 * const args = trainingArguments({ outputDir: 'out', lrSchedulerType, warmupSteps: 0.1 });
 * ```
 */
export type SchedulerType = PlannedType | AdaptiveType;

/** Whether the schedule goes by the metric rather than by the step. */
export function isAdaptive(type: SchedulerType): type is AdaptiveType {
  return adaptiveTypes.some((adaptive) => adaptive === type);
}

const notNegative = real('of at least 0', (n) => n >= 0);
const upToOne = real('from 0 to 1', (n) => n >= 0 && n <= 1);
const shape = choice(['linear', 'cosine', '1-sqrt']);

/** Every argument that a schedule takes. One of that name means the same, and has the same range, in each. */
const kwargKinds = {
  numCycles: real('above 0', (n) => n > 0),
  lrEnd: notNegative,
  power: notNegative,
  timescale: integer(1),
  minLr: notNegative,
  minLrRate: upToOne,
  warmupLrRate: upToOne,
  numDecaySteps: integer(0),
  numStableSteps: integer(0),
  warmupType: shape,
  decayType: shape,
  minLrRatio: upToOne,
  cutFrac: real('above 0 and below 1', (n) => n > 0 && n < 1),
  ratio: real('of at least 1', (n) => n >= 1),
  mode: choice(['min', 'max']),
  factor: real('above 0 and below 1', (n) => n > 0 && n < 1),
  patience: integer(0),
  threshold: notNegative,
  thresholdMode: choice(['rel', 'abs']),
  cooldown: integer(0),
  warmup: integer(0),
  maxLr: notNegative,
  eps: notNegative,
  smooth: toggle(),
  windowSize: integer(1),
  resetStart: integer(0),
} satisfies Record<string, Kind<unknown>>;

type KwargName = keyof typeof kwargKinds;
type ValueOf<K> = K extends Kind<infer T> ? T : never;

/**
 * HF's `lr_scheduler_kwargs`, in camelCase.
 *
 * @example
 * ```ts
 * import { trainingArguments, type SchedulerKwargs } from 'bertune';
 *
 * const lrSchedulerKwargs: SchedulerKwargs = { numCycles: 2 };
 * const args = trainingArguments({
 *   outputDir: 'out',
 *   lrSchedulerType: 'cosine_with_restarts',
 *   lrSchedulerKwargs,
 * });
 * ```
 */
export type SchedulerKwargs = { readonly [K in KwargName]?: ValueOf<(typeof kwargKinds)[K]> };

/** HF's default of `lr_end`. */
export const defaultLrEnd = 1e-7;

/** HF's default of GreedyLR's `min_lr`. */
export const greedyMinLr = 1e-3;

const metricKwargs = ['mode', 'factor', 'patience', 'threshold', 'thresholdMode'] as const;

/** Which arguments each schedule takes. */
export const kwargsOf: Readonly<Record<SchedulerType, readonly KwargName[]>> = {
  linear: [],
  cosine: ['numCycles'],
  cosine_with_restarts: ['numCycles'],
  polynomial: ['lrEnd', 'power'],
  constant: [],
  constant_with_warmup: [],
  inverse_sqrt: ['timescale'],
  cosine_with_min_lr: ['minLr', 'minLrRate', 'numCycles'],
  cosine_warmup_with_min_lr: ['minLr', 'minLrRate', 'numCycles', 'warmupLrRate'],
  warmup_stable_decay: [
    'numDecaySteps',
    'numStableSteps',
    'warmupType',
    'decayType',
    'minLrRatio',
    'numCycles',
  ],
  slanted_triangular: ['cutFrac', 'ratio'],
  reduce_lr_on_plateau: [...metricKwargs, 'cooldown', 'minLr', 'eps'],
  greedy: [
    ...metricKwargs,
    'cooldown',
    'warmup',
    'minLr',
    'maxLr',
    'eps',
    'smooth',
    'windowSize',
    'resetStart',
  ],
};

/** The arguments of a schedule, by HF's names in any case. Which of them belong to the schedule, a rule checks. */
export function schedulerKwargs(): Kind<SchedulerKwargs> {
  return {
    schema: z.preprocess(inCamelCase, z.custom<SchedulerKwargs>(isFaultless)),
    what: 'a JSON object such as {"num_cycles": 2}',
    type: 'SchedulerKwargs',
    arity: 'one',
    placeholder: 'JSON',
    fromText: objectFromText,
    faults: kwargFaults,
  };
}

/** An argument's name in the style of the option that holds it. */
export function kwargSpelledLike(option: string, name: string): string {
  return option === camelCase(option) ? name : snakeCase(name);
}

/** What is wrong with single arguments: names that no schedule knows, values out of range, one given twice. */
function kwargFaults(value: unknown, option: string): string[] {
  if (!isObject(value)) return [];
  const seen = new Map<string, string>();
  return entriesOf(value).flatMap(([written, item]) => {
    const name = camelCase(written);
    const other = seen.get(name);
    seen.set(name, written);
    if (!isKwargName(name)) return [`unknown ${written} in ${option}${suggestion(written, name)}`];
    if (other !== undefined)
      return [`${other} and ${written} in ${option} set the same argument; keep one of them`];
    const { schema, what } = kwargKinds[name];
    return schema.safeParse(item).success ? [] : [expected(what, `${written} in ${option}`, item).message];
  });
}

function isFaultless(value: unknown): boolean {
  return isObject(value) && kwargFaults(value, '').length === 0;
}

function suggestion(written: string, name: string): string {
  const nearest = nearestName(name, Object.keys(kwargKinds));
  if (nearest === undefined) return '; no schedule takes it';
  return ` (did you mean ${/[A-Z]/.test(written) ? nearest : snakeCase(nearest)}?)`;
}

/** A name that comes twice is kept under one that no argument has, so that the check rejects it. */
function inCamelCase(value: unknown): unknown {
  if (!isObject(value)) return value;
  const renamed = new Map<string, unknown>();
  for (const [written, item] of entriesOf(value)) {
    const name = camelCase(written);
    renamed.set(renamed.has(name) ? `${written} again` : name, item);
  }
  return Object.fromEntries(renamed);
}

/** As everywhere in HF's options, null is an argument that is not set. */
function entriesOf(value: object): [string, unknown][] {
  return Object.entries(value).filter(([, item]) => item !== null && item !== undefined);
}

function isKwargName(name: string): name is KwargName {
  return Object.hasOwn(kwargKinds, name);
}

function objectFromText(written: string): unknown {
  try {
    return JSON.parse(written);
  } catch {
    return written;
  }
}
