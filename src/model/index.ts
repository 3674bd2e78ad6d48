// Model files as Hugging Face has them: config.json, safetensors, names of tensors.

export { HIDDEN_ACTIVATIONS } from './activations.js';
export type { Activation, HiddenAct } from './activations.js';
export { readCalibration, writeCalibration } from './calibration.js';
export type { Calibration } from './calibration.js';
export { openCheckpoint, readBertConfig, saveCheckpoint } from './checkpoint.js';
export type { Checkpoint } from './checkpoint.js';
export { bertConfigJson } from './config-json.js';
export { parseBertConfig, withLabels } from './config.js';
export type { BertConfig } from './config.js';
export { byteLength } from './dtype.js';
export type { DType, TensorLayout } from './dtype.js';
export { exists } from './exists.js';
export { removeDirectoryAtomic, writeDirectoryAtomic, writeFileAtomic, writeJson } from './files.js';
export type { FileContent } from './files.js';
export { parseJson, readJson, readSmallFile } from './json.js';
export { areDefaultLabels, defaultLabels } from './labels.js';
export {
  adapterShapes,
  DEFAULT_TARGETS,
  fitAdapter,
  isAdapterFolder,
  loraShapes,
  openAdapterFiles,
  POOLER,
  saveAdapter,
  scalingOf,
  targetedModules,
} from './lora/index.js';
export type { Lora } from './lora/index.js';
export { listCheckpoints, stepOf } from './step-checkpoints.js';
export { matchTensors } from './match.js';
export type { TensorMatch } from './match.js';
export { openUnchanged } from './open-unchanged.js';
export { parameterShapes } from './parameters.js';
export {
  finishReplacing,
  INDEX,
  isBeingReplaced,
  OF_TRAINING,
  replaceFiles,
  requireNoFolders,
} from './replace-files.js';
export { openSafetensors } from './safetensors-reader.js';
export type { SafetensorsFile, TensorSource } from './safetensors-reader.js';
export { writeSafetensors } from './safetensors-writer.js';
export type { TensorData } from './safetensors-writer.js';
