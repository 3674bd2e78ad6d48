// A model that has learned nothing looks like any other in a table of twenty figures, so it is said in words.
import type { ProblemType } from '../data/index.js';
import type { Metrics } from '../evaluation/evaluate.js';

interface Sign {
  readonly holds: (metrics: Metrics) => boolean;
  readonly meaning: string;
}

const SIGNS: Readonly<Record<ProblemType, Sign>> = {
  single_label_classification: {
    // Where all rows have one label the correlation is 0 too, however good the model is.
    // A model that gives all rows one label may well tell them apart by its scores.
    holds: ({
      eval_matthews_correlation: correlation = 1,
      eval_balanced_accuracy: recall = 1,
      eval_roc_auc: ranks = 0.5,
    }) => correlation <= 0 && recall <= 0.5 && !(ranks > 0.7),
    meaning: 'its labels agree with those of the rows no better than chance (Matthews correlation at most 0)',
  },
  multi_label_classification: {
    holds: ({ eval_f1_micro: f1 = 1, eval_hamming_loss: wrong = 0 }) => f1 === 0 && wrong > 0,
    meaning: 'it gives no label that is right (micro F1 of 0)',
  },
  regression: {
    holds: ({ eval_r2: r2 = 1 }) => r2 <= 0,
    meaning: 'it predicts no better than the mean of the values would (R2 at most 0)',
  },
};

/** One line where an evaluation is no better than that of a model that has not looked at the texts, else none. */
export function chanceNote(problem: ProblemType, metrics: Metrics): string[] {
  const { holds, meaning } = SIGNS[problem];
  if (!holds(metrics)) return [];
  return [
    `note: the model does not tell the validation rows apart: ${meaning}; more steps or another learning rate may help`,
  ];
}
