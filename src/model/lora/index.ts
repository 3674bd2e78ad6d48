// LoRA adapters: what they are, and their files as PEFT has them.

export {
  fitAdapter,
  isAdapterFolder,
  openAdapterFiles,
  saveAdapter,
  type AdapterFiles,
} from './adapter-file.js';
export { adapterShapes, loraShapes, scalingOf, type Lora } from './settings.js';
export { DEFAULT_TARGETS, POOLER, targetedModules } from './targets.js';
