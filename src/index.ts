// The public API.
export {
  AutoModelForSequenceClassification,
  BertForSequenceClassification,
  CamembertForSequenceClassification,
  DistilBertForSequenceClassification,
  ElectraForSequenceClassification,
  parseBertConfig,
  parseConfig,
  readBertConfig,
  readConfig,
  RobertaForSequenceClassification,
  XLMRobertaForSequenceClassification,
  type AdapterOptions,
  type BertConfig,
  type EncoderModel,
  type HeadOptions,
  type LoraOptions,
  type ModelConfig,
  type Runtime,
} from './models/index.js';
export type { Example, LabelReader, ProblemType, Task } from './data/index.js';
export { Dataset } from './data/dataset.js';
export { DatasetDict } from './data/dataset-dict.js';
export { loadDataset, type SplitFiles } from './data/load.js';
export type { ReadOptions } from './data/read-options.js';
export { RunError, UsageError } from './util/errors.js';
export { classify } from './evaluation/classify.js';
export type { ComputeMetrics, EvalPrediction } from './evaluation/custom-metrics.js';
export { evaluateRows, type Metrics } from './evaluation/evaluate.js';
export { createMetrics, type MetricAccumulator, type MetricDetails } from './evaluation/metrics.js';
export type { LongTexts, Pooling } from './evaluation/long-texts.js';
export { predictRows, type PredictedBatch } from './evaluation/predict.js';
export { predictionOf, type Prediction } from './evaluation/probabilities.js';
export type { HubOptions } from './hub/index.js';
export type { Calibration } from './formats/calibration.js';
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
export { pack, type LabelledRows, type TextRows } from './data/batch.js';
export type { TrainerCallback, TrainerControl, TrainerEvent } from './training/callbacks.js';
export { EarlyStoppingCallback } from './training/early-stopping.js';
export { InterruptedError } from './training/interruption.js';
export { Progress, type Terminal } from './terminal/progress.js';
export { learningRateAt, type Schedule } from './training/schedule.js';
export { trainingArguments } from './training/settings.js';
export type { SchedulerKwargs, SchedulerType, TrainingArguments } from './options/index.js';
export type { TrainerState } from './training/state.js';
export type { TrainerParts } from './training/parts.js';
export { Trainer } from './training/trainer.js';
