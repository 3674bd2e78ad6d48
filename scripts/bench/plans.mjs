// What each kind of measurement consists of.
import { FIRST_STEP_NOTES, firstStepWork, OPENING_NOTES, openingWork } from './beginning.mjs';
import { STEP_NOTES, stepWork } from './steps.mjs';
import { planTargets } from './targets.mjs';
import { EVALUATION_NOTES, evaluationWork, TRAINING_NOTES, trainingWork } from './texts.mjs';

/**
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {import('./runs.mjs').Plan}
 */
export function planOf(options, context) {
  switch (options.mode) {
    case 'endToEnd':
      return { works: [trainingWork(options, context)], notes: TRAINING_NOTES };
    case 'evaluate':
      return { works: [evaluationWork(options, context)], notes: EVALUATION_NOTES };
    case 'open':
      return { works: [openingWork(options, context)], notes: OPENING_NOTES };
    case 'first-step':
      return { works: [firstStepWork(options, context)], notes: FIRST_STEP_NOTES };
    case 'targets':
      return planTargets(options, context);
    default: // steps or forward passes
      return {
        works: options.batches.map((batch) => stepWork(options, context, { ...options, batch })),
        notes: STEP_NOTES,
      };
  }
}
