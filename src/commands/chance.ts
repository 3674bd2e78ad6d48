// A model that has learned nothing looks like any other in a table of twenty figures, so it is said in words.
import type { Metrics } from '../evaluation/evaluate.js';
import type { TaskKind } from '../tasks/index.js';

/** One line where an evaluation is no better than that of a model that has not looked at the texts, else none. */
export function chanceNote(kind: TaskKind, metrics: Metrics): string[] {
  const reason = kind.chanceLevel(metrics);
  if (reason === null) return [];
  return [
    `note: the model does not tell the validation rows apart: ${reason}; more steps or another learning rate may help`,
  ];
}
