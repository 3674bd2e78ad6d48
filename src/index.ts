// The public API.
export {
  AutoModelForSequenceClassification,
  BertForSequenceClassification,
  CamembertForSequenceClassification,
  DistilBertForSequenceClassification,
  ElectraForSequenceClassification,
  ModernBertForSequenceClassification,
  AlbertForSequenceClassification,
  MPNetForSequenceClassification,
  DebertaV2ForSequenceClassification,
  RobertaForSequenceClassification,
  XLMRobertaForSequenceClassification,
} from './models/sequence-classification.js';
export {
  AlbertForMaskedLM,
  AutoModelForMaskedLM,
  BertForMaskedLM,
  CamembertForMaskedLM,
  DistilBertForMaskedLM,
  ElectraForMaskedLM,
  ModernBertForMaskedLM,
  DebertaV2ForMaskedLM,
  MPNetForMaskedLM,
  RobertaForMaskedLM,
  XLMRobertaForMaskedLM,
} from './models/masked-lm.js';
export { maskedRows, type MaskedRows, type MaskedRowsOptions } from './data/masked-rows.js';
export {
  AutoModelForTokenClassification,
  BertForTokenClassification,
  CamembertForTokenClassification,
  DistilBertForTokenClassification,
  ElectraForTokenClassification,
  ModernBertForTokenClassification,
  AlbertForTokenClassification,
  MPNetForTokenClassification,
  DebertaV2ForTokenClassification,
  RobertaForTokenClassification,
  XLMRobertaForTokenClassification,
} from './models/token-classification.js';
export {
  parseBertConfig,
  parseConfig,
  type BertConfig,
  type HeadOptions,
  type ModelConfig,
} from './models/config.js';
export {
  readBertConfig,
  AutoConfig,
  readConfig,
  type AdapterOptions,
  type PretrainedOptions,
} from './models/pretrained.js';
export type { EncoderModel, ExportOnnxOptions, Runtime } from './models/encoder-model.js';
export type { OnnxValidationBatch } from './onnx/check.js';
export type { OnnxFigures } from './onnx/comparison.js';
export type { OnnxExport } from './onnx/folder.js';
export type { OnnxDtype } from './onnx/settings.js';
export type { OnnxVariant } from './onnx/write-variant.js';
export type { Lora, LoraOptions } from './models/lora.js';
export { sessionSpec } from './models/session.js';
export type { Example, Split } from './data/index.js';
export {
  createMetrics,
  taskOf,
  type AggregationStrategy,
  type TextEntity,
  type Calibration,
  type LabelReader,
  type MetricAccumulator,
  type MetricDetails,
  type Prediction,
  type ProblemType,
  type Target,
  type Targets,
  type Task,
  type TaskDescription,
  type TaskKind,
  type TaskName,
} from './tasks/index.js';
export { Dataset, DatasetDict } from './data/dataset.js';
export {
  loadDataset,
  type ReadOptions,
  type RowReadOptions,
  type SplitFiles,
  type SplitRows,
} from './data/load-dataset.js';
export type { Rows } from './data/own-rows.js';
export { InterruptedError, RunError, UsageError } from './util/errors.js';
export {
  evaluateRows,
  type ComputeMetrics,
  type EvalPrediction,
  type Metrics,
} from './evaluation/evaluate.js';
export {
  longTextsOf,
  textReading,
  type LongTexts,
  type Pooling,
  type TextReading,
} from './evaluation/long-texts.js';
export {
  classify,
  predictionOf,
  encodedRows,
  predictRows,
  textsInMemory,
  type PredictedBatch,
  type PredictRowsOptions,
} from './evaluation/predict.js';
export { extractEntities, type Entity, type EntityText } from './evaluation/entities.js';
export type { HubOptions } from './hub/model.js';
export {
  deviceInfo,
  Session,
  type AccumulateOptions,
  type AdapterSpec,
  type CudaDevice,
  type Device,
  type DeviceInfo,
  type EncoderSpec,
  type LayerSpec,
  type RelativeSpec,
  type RelativeBiasSpec,
  type DisentangledSpec,
  type HeadStage,
  type LossKind,
  type LossOptions,
  type OptimizerName,
  type PackedBatch,
  type ParameterSpec,
  type SessionSpec,
  type SessionOptions,
  type StateInfo,
  type TensorData,
  type TensorInfo,
  type TensorKind,
  type TensorSettings,
  type TrainingOptions,
  type TrainingStats,
  type ReduceOptions,
  type UpdateOptions,
} from './native/index.js';
export {
  AlbertTokenizer,
  AutoTokenizer,
  BertTokenizer,
  CamembertTokenizer,
  createTokenizerPool,
  DebertaV2Tokenizer,
  DistilBertTokenizer,
  ElectraTokenizer,
  MPNetTokenizer,
  RobertaTokenizer,
  XLMRobertaTokenizer,
  type EncodeOptions,
  type Encoding,
  type TextExample,
  type TokenizerPool,
} from './tokenizer/index.js';
export {
  pack,
  type BatchPlace,
  type DataIdentity,
  type LabelledExamples,
  type LabelledRows,
  type TextRows,
} from './data/batch.js';
export {
  EarlyStoppingCallback,
  type TrainerCallback,
  type TrainerControl,
  type TrainerEvent,
} from './training/callbacks.js';
export { Progress, type Terminal } from './terminal/progress.js';
export { pushToHub, type PushOptions } from './publishing/push.js';
export {
  evaluate,
  predict,
  type Evaluation,
  type EvaluationData,
  type EvaluationReadOptions,
} from './scoring/scoring.js';
export { Classifier, createClassifier } from './serving/classifier.js';
export { ClassifierClosedError, QueueFullError } from './serving/errors.js';
export type { Step } from './serving/step-queue.js';
export { learningRateAt, type Schedule } from './training/schedules.js';
export type {
  ClassifierOptions,
  ScoringOptions,
  SchedulerKwargs,
  SchedulerType,
  TrainingArguments,
} from './options/index.js';
export type { TrainerState } from './training/state.js';
export type { WorldAddress } from './native/index.js';
export { trainingArguments, type TrainerParts } from './training/start.js';
export { worldAddress } from './distributed/address.js';
export { openWorld, type World } from './distributed/world.js';
export { Trainer } from './training/trainer.js';
