// The parts of `npm run check:gpu`, in the order in which they run: what others build on first, then speed, then the rest.
import { SetupError } from '../setup/errors.mjs';

/**
 * @typedef {object} Part
 * @property {string} name which is also that of its file in parts/
 * @property {string} title
 * @property {number} seconds that it takes on an H200 at most; it is ended after half as many more
 */

/** @type {readonly Part[]} */
export const PARTS = [
  { name: 'device', title: 'the device, versions, and where tensors are', seconds: 10 },
  { name: 'kernels', title: 'the fused kernels load, and compute what the operators do', seconds: 20 },
  { name: 'operators', title: 'losses and gradients of all families beside the CPU', seconds: 30 },
  { name: 'graphs', title: 'recorded steps have the bits of eager ones', seconds: 15 },
  {
    name: 'dropout',
    title: 'masks of attention: the same forward and backward, others each time',
    seconds: 12,
  },
  { name: 'steps', title: 'speed and memory of a step, with and without graphs', seconds: 60 },
  { name: 'transformers', title: 'steps and training beside transformers, eager and compiled', seconds: 100 },
  { name: 'texts', title: 'training, evaluation and prediction from files of texts', seconds: 45 },
  { name: 'start', title: 'time to the first step, with and without compiled kernels', seconds: 20 },
  { name: 'repeat', title: 'the same seed gives the same bits', seconds: 8 },
  { name: 'resume', title: 'a run that was killed goes on to the same bits', seconds: 30 },
  { name: 'checkpointing', title: 'layers that run again give the same bits', seconds: 10 },
  { name: 'lora', title: 'adapters beside the CPU; the weights below stay', seconds: 10 },
  { name: 'nonfinite', title: 'a step that is not finite changes nothing', seconds: 6 },
  { name: 'sessions', title: 'several sessions at once in one process', seconds: 12 },
  { name: 'nccl', title: 'gradients from GPU to GPU, on two where there are two', seconds: 12 },
  { name: 'processes', title: 'eight processes at once', seconds: 18 },
  { name: 'fixtures', title: 'the tests against fixtures of transformers, torch and PEFT', seconds: 40 },
  { name: 'sanitizer', title: 'a short training under compute-sanitizer', seconds: 22 },
];

/**
 * @param {readonly string[] | undefined} names all where left out
 * @throws {SetupError} (exit code 2) for a part that there is not
 */
export function partsOf(names) {
  const unknown = names?.find((name) => !PARTS.some((part) => part.name === name));
  if (unknown !== undefined)
    throw new SetupError(`There is no part "${unknown}": ${PARTS.map(({ name }) => name).join(', ')}`, 2);
  return PARTS.filter(({ name }) => names?.includes(name) ?? true);
}
