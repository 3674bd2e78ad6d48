// The native layer: sessions of the addon, and what it says of the machine.
export { chooseDevice, type CudaDevice, type Device, type DeviceInfo } from './device.js';
export {
  busySeconds,
  cudaPeakBytes,
  deviceInfo,
  kernelsProblem,
  loadAddon,
  startPhases,
  stopPhases,
  type NativeWorld,
  type WorldAddress,
} from './addon.js';
export type { OptimizerName, StateKind } from './optimizer-state.js';
export { Session } from './session.js';
export type * from './spec.js';
export type * from './types.js';
