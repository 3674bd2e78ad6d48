// The classes that a model tells apart: its own, or those that it is given.
import { impliedProblemType, type ProblemType } from '../tasks/index.js';
import { defaultLabels } from './labels.js';
import { withLabels, type BertConfig } from './config.js';

/** The classes the model is to tell apart; what is left out comes from its config.json. */
export interface HeadOptions {
  numLabels?: number;
  /** Names of the classes in the order of their ids; wins over numLabels. */
  labels?: readonly string[];
  problemType?: ProblemType;
}

/** A config with another head, or the same config where nothing else is asked for. */
export function withHead(config: BertConfig, head: HeadOptions): BertConfig {
  const { numLabels, labels, problemType } = head;
  if (labels === undefined && numLabels === undefined && problemType === undefined) return config;
  const kept = numLabels === undefined || numLabels === config.numLabels ? config.id2label : undefined;
  const names = labels ?? kept ?? defaultLabels(numLabels ?? 0);
  const { problemType: configured } = config;
  const type = problemType ?? problemTypeOf({ problemType: configured, numLabels: names.length });
  return withLabels(config, names, type);
}

/** Whether two configs tell the same classes apart in the same way. */
export function isSameHead(a: BertConfig, b: BertConfig): boolean {
  const [labels, others] = [a.id2label, b.id2label];
  return (
    problemTypeOf(a) === problemTypeOf(b) &&
    labels.length === others.length &&
    labels.every((label, id) => label === others[id])
  );
}

/** What a config without a problem type means: HF's rule. */
export function problemTypeOf(config: Pick<BertConfig, 'problemType' | 'numLabels'>): ProblemType {
  return config.problemType ?? impliedProblemType(config.numLabels);
}
