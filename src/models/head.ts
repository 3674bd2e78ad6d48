// The classes that a model tells apart: its own, or those that it is given.
import { impliedProblemType, type ProblemType } from '../tasks/index.js';
import { withLabels, type ModelConfig } from './config.js';
import { defaultLabels } from './labels.js';

/** The classes the model is to tell apart; what is left out comes from its config.json. */
export interface HeadOptions {
  numLabels?: number;
  /** Names of the classes in the order of their ids; wins over numLabels. */
  labels?: readonly string[];
  problemType?: ProblemType;
}

/** A config with another head, or the same config where nothing changes. */
export function withHead<Config extends ModelConfig>(config: Config, head: HeadOptions): Config {
  const { numLabels, labels, problemType } = head;
  if (labels === undefined && numLabels === undefined && problemType === undefined) return config;
  const kept = numLabels === undefined || numLabels === config.numLabels ? config.id2label : undefined;
  const names = labels ?? kept ?? defaultLabels(numLabels ?? 0);
  const { problemType: configured } = config;
  const type = problemType ?? problemTypeOf({ problemType: configured, numLabels: names.length });
  return withLabels(config, names, type);
}

/** Whether two configs tell the same classes apart in the same way. */
export function isSameHead(a: ModelConfig, b: ModelConfig): boolean {
  const [labels, others] = [a.id2label, b.id2label];
  return (
    problemTypeOf(a) === problemTypeOf(b) &&
    labels.length === others.length &&
    labels.every((label, id) => label === others[id])
  );
}

/** What a config without a problem type means: HF's rule. */
export function problemTypeOf(config: Pick<ModelConfig, 'problemType' | 'numLabels'>): ProblemType {
  return config.problemType ?? impliedProblemType(config.numLabels);
}

/** The class of a checkpoint whose head was trained for another task, with its article; undefined for all others. */
export function otherTaskOf({ architectures }: Pick<ModelConfig, 'architectures'>): string | undefined {
  const heads = /For(?:TokenClassification|QuestionAnswering|MultipleChoice|NextSentencePrediction)$/;
  const [name] = architectures;
  return name === undefined || !heads.test(name)
    ? undefined
    : `${/^[AEIOU]/.test(name) ? 'an' : 'a'} ${name}`;
}
