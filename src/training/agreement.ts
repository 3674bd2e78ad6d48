// What processes make sure of before they work together: that all of them do the same.
import type { EncoderModel } from '../models/encoder-model.js';
import { deviceInfo, type DeviceInfo } from '../native/index.js';
import type { EvaluateOptions, PredictOptions, TrainOptions } from '../options/index.js';
import { UsageError } from '../util/errors.js';
import { packageVersion } from '../util/installation.js';
import { oneLine } from '../util/text.js';
import type { World } from '../distributed/world.js';

/** What may differ from process to process: where it runs, what it writes, and what it makes of the results. */
const OWN_OPTIONS: ReadonlySet<string> = new Set([
  'device',
  'threads',
  'dataloaderNumWorkers',
  'outputDir',
  'reportTo',
  'outputFile',
  'predictionsFile',
  'tuneThresholds',
  'tuneTemperature',
] satisfies (keyof TrainOptions | keyof EvaluateOptions | keyof PredictOptions)[]);

/** The options of a command or a Trainer that all processes have in common. */
export function sharedOptions(options: object): Record<string, unknown> {
  return Object.fromEntries(Object.entries(options).filter(([name]) => !OWN_OPTIONS.has(name)));
}

const INSTRUCTION_SET = 'instruction set';
const DEVICE = 'kind of device';
const FUSED_KERNELS = 'choice of kernels (ours, or those of LibTorch)';
const DTYPE = 'dtype of the computation';

/** What caps the kernels of each instruction set at it, where other processors have more. */
const CAPS: Readonly<Record<string, string>> = {
  baseline: 'ATEN_CPU_CAPABILITY=default',
  avx2: 'ATEN_CPU_CAPABILITY=avx2',
  avx512: 'ONEDNN_MAX_CPU_ISA=AVX512_CORE',
} satisfies Partial<Record<DeviceInfo['instructionSet'], string>>;

/**
 * What decides the bits of an update. Gradients may differ in their last bits from processor to processor, as they are summed and all
 * processes get the same sums. But each process takes the norm of these sums and updates its weights by itself: kernels for other
 * vectors add in another order and fuse other products, so that weights which nobody compares would drift apart, and with them the
 * losses, what is saved by rank 0, and what a resumed run gets. Threads do not matter: each element of an update is by itself, and the
 * norm is summed in pieces of one size.
 *
 * @param model open
 */
export function updatesBy({ placement }: EncoderModel): Record<string, unknown> {
  const [device = '', dtype] = placement.replace(/ \(.*/s, '').split(', ');
  const { instructionSet, cudaDevices, libtorch } = deviceInfo();
  const shared = { 'version of LibTorch': libtorch, [DTYPE]: dtype };
  if (device === 'cpu') return { [DEVICE]: 'cpu', [INSTRUCTION_SET]: instructionSet, ...shared };
  const { name = 'cuda', capability } = cudaDevices[Number(device.slice('cuda:'.length))] ?? {};
  return {
    [DEVICE]: [name, capability],
    [FUSED_KERNELS]: !placement.includes('no fused kernels'),
    ...shared,
  };
}

/** @throws UsageError, in all processes the same, where one has something else than rank 0 */
export async function requireSameEverywhere(
  world: World,
  known: Readonly<Record<string, unknown>>,
): Promise<void> {
  if (world.size === 1) return;
  const [first, ...others] = await world.gather({ version: packageVersion(), ...known });
  for (const [i, other] of others.entries())
    for (const name of new Set([...Object.keys(first ?? {}), ...Object.keys(other)])) {
      const values = [first, other].map((all): unknown => Object(all)[name]);
      const [wanted, found] = values.map((value) => JSON.stringify(value));
      if (wanted !== found)
        throw new UsageError(
          `Rank ${i + 1} has another ${name} than rank 0: ${oneLine(found ?? 'none', 80)}, not ${oneLine(wanted ?? 'none', 80)}; ` +
            remedyFor(name, values),
        );
    }
}

function remedyFor(name: string, values: readonly unknown[]): string {
  if (name === FUSED_KERNELS)
    return 'the weights would drift apart: see why in the line "Training on" of each, or set BERTUNE_FUSED_KERNELS=0 for all processes';
  if (name === INSTRUCTION_SET) {
    const lesser = Object.keys(CAPS).find((set) => values.includes(set)) ?? 'baseline';
    return `the weights of such processors would drift apart: set ${CAPS[lesser]} for all processes, or train on processors of one kind`;
  }
  if (name === DEVICE) return 'the weights of such devices would drift apart: train on devices of one kind';
  if (name === DTYPE) return 'give all processes the same dtype, float32 or bfloat16';
  return 'start all processes with the same version, options, data and model';
}
