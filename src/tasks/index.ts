// What depends on the kind of problem.
export { aggregationStrategies, type AggregationStrategy, type TextEntity } from './entity-aggregation.js';
export { readCalibration, writeCalibration } from './calibration.js';
export type { MetricAccumulator, MetricDetails } from './metrics/accumulator.js';
export {
  binaryCrossEntropy,
  DEFAULT_THRESHOLD,
  isPositive,
  sigmoid,
  softmax,
  softmaxRow,
  type Calibration,
} from './probabilities.js';
export {
  asTask,
  createMetrics,
  detailMetrics,
  impliedProblemType,
  isGreaterBetter,
  metricNamesOf,
  taskKinds,
  taskOf,
} from './registry.js';
export { maskedLm, NOT_MASKED } from './masked-lm.js';
export { quantileStrata, regression } from './regression.js';
export { isDistribution, multiLabel, singleLabel } from './sequence-classification.js';
export {
  countLabels,
  eachTargets,
  requireProblemType,
  requireTaskFits,
  type LabelCounts,
  type LabelReader,
  type TargetRows,
} from './targets.js';
export {
  problemTypes,
  taskNames,
  type ColumnPlan,
  type LabelKind,
  type LossOption,
  type Prediction,
  type ProblemType,
  type Target,
  type Targets,
  type Task,
  type TaskDescription,
  type TaskKind,
  type TaskName,
} from './task.js';
export { sortTokenLabels, tokenClassification } from './token-classification.js';
