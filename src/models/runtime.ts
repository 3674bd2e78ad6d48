// Where and how a model is computed.
import { chooseDevice, deviceInfo } from '../native/index.js';

/** Where and how the model is computed. */
export interface Runtime {
  device?: 'auto' | 'cpu' | 'cuda';
  dtype?: 'auto' | 'float32' | 'bfloat16';
  /** On a CUDA device, whether float32 products may round their inputs to TF32; see SessionOptions. */
  tf32?: boolean;
  /** CPU threads; default: all cores. */
  threads?: number;
  /** Seeds newly initialised weights and dropout; default 42, as HF. */
  seed?: number;
}

/** Makes sure of a device that was asked for by name, before time is spent on data. @throws UsageError */
export function requireDevice({ device, dtype }: Runtime): void {
  // The others can always be had, and asking the addon takes the time to load LibTorch.
  if (device === 'cuda') chooseDevice({ device, dtype: dtype ?? 'auto' }, deviceInfo());
}
