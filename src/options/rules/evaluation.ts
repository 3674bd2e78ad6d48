// What looks at how a metric goes on, and the evaluations and checkpoints that it needs.
import { metricNamesOf, taskKinds } from '../../tasks/index.js';
import { nearestName } from '../../util/nearest.js';
import type { TrainingArguments, TrainOptions } from '../commands.js';
import type { OptionName } from '../options.js';
import { isAdaptive } from '../schedulers.js';
import type { NameOf, Problem } from './rule.js';

export function knownMetric(
  o: TrainingArguments & { problemType?: TrainOptions['problemType'] },
  name: NameOf,
): Problem | undefined {
  const { metricForBestModel: metric, problemType } = o;
  const known = metricNamesOf(problemType === undefined ? undefined : [taskKinds[problemType]]);
  if (metric === undefined || known.includes(metric.replace(/^eval_/, ''))) return undefined;
  const bare = metric.replace(/^eval_/, '');
  // HF's tutorials call theirs f1, which of several averages it is only their code says.
  const averages = known.filter((own) => own.startsWith(`${bare}_`)).join(', ');
  const nearest = averages === '' ? nearestName(bare, known) : averages;
  const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
  return {
    about: 'metricForBestModel',
    message: `Expected one of ${known.join(', ')} for ${name('metricForBestModel')} but received ${JSON.stringify(metric)}${hint}`,
  };
}

/** HF's rules for all that looks at how a metric goes on. */
export function evaluationsToCompare(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.evalStrategy !== 'no') return undefined;
  const cases: [boolean, OptionName, string][] = [
    [o.saveStrategy === 'best', 'saveStrategy', ' best'],
    [o.earlyStoppingPatience !== undefined, 'earlyStoppingPatience', ''],
    [isAdaptive(o.lrSchedulerType), 'lrSchedulerType', ` ${o.lrSchedulerType}`],
  ];
  const [, about, value] = cases.find(([applies]) => applies) ?? [];
  if (about === undefined) return undefined;
  const message = `${name(about)}${value} needs evaluations to compare; set ${name('evalStrategy')} to epoch or steps`;
  return { about, message };
}

/** HF's rule: the best checkpoint can only be loaded if each evaluated state that may be best was saved. */
export function bestNeedsMatchingStrategies(o: TrainingArguments, name: NameOf): Problem | undefined {
  const isBest = o.saveStrategy === 'best';
  if (!o.loadBestModelAtEnd || isBest || (o.evalStrategy === o.saveStrategy && o.evalStrategy !== 'no'))
    return undefined;
  const how = `${name('evalStrategy')} is ${o.evalStrategy} and ${name('saveStrategy')} is ${o.saveStrategy}; set both to epoch, or both to steps`;
  return {
    about: 'loadBestModelAtEnd',
    message: `${name('loadBestModelAtEnd')} needs a checkpoint at each evaluation, but ${how}`,
  };
}

export function bestNeedsMatchingSteps(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (!o.loadBestModelAtEnd || o.evalStrategy !== 'steps' || o.saveStrategy !== 'steps') return undefined;
  const evalSteps = o.evalSteps ?? o.loggingSteps;
  if (isMultiple(o.saveSteps, evalSteps)) return undefined;
  const how = `${name('saveSteps')} ${o.saveSteps} is not a multiple of ${name('evalSteps')} ${evalSteps}`;
  return {
    about: 'loadBestModelAtEnd',
    message: `${name('loadBestModelAtEnd')} needs an evaluation at each checkpoint, but ${how}`,
  };
}

export function rollbackNeedsCheckpoints(o: TrainingArguments, name: NameOf): Problem | undefined {
  if (o.nonfiniteGradient !== 'rollback' || (o.saveStrategy !== 'no' && !o.saveOnlyModel)) return undefined;
  const why = o.saveOnlyModel ? `${name('saveOnlyModel')} is given` : `${name('saveStrategy')} is no`;
  return {
    about: 'nonfiniteGradient',
    message: `${name('nonfiniteGradient')} rollback needs checkpoints to fall back to, but ${why}`,
  };
}

/** Of two numbers of steps or two shares; a share and a number cannot be compared before the length is known. */
function isMultiple(n: number, of: number): boolean {
  if (n < 1 !== of < 1) return false;
  const ratio = n / of;
  return Math.abs(ratio - Math.round(ratio)) < 1e-9;
}
