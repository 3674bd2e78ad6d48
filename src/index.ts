// The public API.
export {
  BertForSequenceClassification,
  type AdapterOptions,
  type HeadOptions,
  type LoraOptions,
  type Runtime,
} from './bert/index.js';
export type { Example, LabelReader, ProblemType, Task } from './data/index.js';
export { Dataset, DatasetDict, loadDataset, type ReadOptions, type SplitFiles } from './dataset/index.js';
export { RunError, UsageError } from './errors.js';
export { classify } from './evaluation/classify.js';
export type { ComputeMetrics, EvalPrediction } from './evaluation/custom-metrics.js';
export { evaluateRows, type Metrics } from './evaluation/evaluate.js';
export { createMetrics, type MetricAccumulator, type MetricDetails } from './evaluation/metrics.js';
export type { LongTexts, Pooling } from './evaluation/long-texts.js';
export { predictRows, type PredictedBatch } from './evaluation/predict.js';
export { predictionOf, type Prediction } from './evaluation/probabilities.js';
export type { HubOptions } from './hub/index.js';
export type { Calibration } from './model/index.js';
export { parseBertConfig, readBertConfig, type BertConfig } from './model/index.js';
export {
  deviceInfo,
  Session,
  type AccumulateOptions,
  type DeviceInfo,
  type PackedBatch,
  type SessionConfig,
  type SessionOptions,
  type TensorData,
  type TensorInfo,
  type TensorKind,
  type TrainingStats,
  type UpdateOptions,
} from './native/index.js';
export { BertTokenizer, createTokenizerPool, type Encoding, type TokenizerPool } from './tokenizer/index.js';
export { pack, type LabelledRows, type TextRows } from './batching/batch.js';
export type { TrainerCallback, TrainerControl, TrainerEvent } from './training/callbacks.js';
export { EarlyStoppingCallback } from './training/early-stopping.js';
export { InterruptedError } from './training/interruption.js';
export { Progress, type Terminal } from './training/progress.js';
export { learningRateAt, type Schedule } from './training/schedule.js';
export { trainingArguments } from './training/settings.js';
export type { SchedulerKwargs, SchedulerType, TrainingArguments } from './config/index.js';
export type { TrainerState } from './training/state.js';
export type { TrainerParts } from './training/parts.js';
export { Trainer } from './training/trainer.js';
