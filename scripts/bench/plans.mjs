// What each kind of measurement consists of.
import { FIRST_STEP_NOTES, firstStepBenchmark, OPENING_NOTES, openingBenchmark } from './beginning.mjs';
import { scalingBenchmark, scalingPlan } from './scaling.mjs';
import { STEP_NOTES, stepBenchmark } from './steps.mjs';
import { planTargets } from './targets.mjs';
import { EVALUATION_NOTES, evaluationBenchmark, TRAINING_NOTES, trainingBenchmark } from './texts.mjs';

/**
 * @param {import('./options.mjs').BenchOptions} options
 * @param {import('./runs.mjs').Context} context
 * @returns {import('./runs.mjs').Plan}
 */
export function planOf(options, context) {
  switch (options.mode) {
    case 'endToEnd':
      return options.nproc === 1
        ? { benchmarks: [trainingBenchmark(options, context)], notes: TRAINING_NOTES }
        : scalingPlan([trainingBenchmark(options, context)], options.nproc, TRAINING_NOTES);
    case 'evaluate':
      return { benchmarks: [evaluationBenchmark(options, context)], notes: EVALUATION_NOTES };
    case 'open':
      return { benchmarks: [openingBenchmark(options, context)], notes: OPENING_NOTES };
    case 'first-step':
      return { benchmarks: [firstStepBenchmark(options, context)], notes: FIRST_STEP_NOTES };
    case 'targets':
      return planTargets(options, context);
    default: // steps or forward passes
      if (options.nproc > 1)
        return scalingPlan(
          options.batches.map((batch) => scalingBenchmark(options, context, batch)),
          options.nproc,
          STEP_NOTES,
        );
      return {
        benchmarks: options.batches.map((batch) => stepBenchmark(options, context, { ...options, batch })),
        notes: STEP_NOTES,
      };
  }
}
