// The options of `npm run check:gpu`.
import { existsSync } from 'node:fs';
import { dirname, resolve } from 'node:path';
import { parseArgs } from 'node:util';
import { messageOf, SetupError } from '../setup/errors.mjs';

export const HELP = `Usage: npm run check:gpu -- [options]

Exactness, speed and memory on a GPU, in under 8 minutes. It needs a driver and LibTorch for CUDA; a part with transformers is
left out where BERTUNE_PYTHON names no Python with a torch for CUDA.

  --list             the parts, and for how long each may take
  --only NAME,...    these parts
  --device DEVICE    cuda, one such as cuda:1, or cpu: small models on the CPU, which prove the command only (default cuda)
  --json FILE        written anew after each part (default check-gpu.json)
  --limit X          multiplies the time limits, for slow machines (default 1)
`;

/**
 * @param {readonly string[]} args
 * @throws {SetupError} (exit code 2)
 */
export function gpuOptions(args) {
  const given = parse(args);
  const { device = 'cuda', json = 'check-gpu.json', limit = '1' } = given;
  const known = /^(?:cpu|cuda|cuda:\d{1,3})$/.test(device);
  if (!known)
    throw new SetupError(`Expected cpu, cuda or one such as cuda:1 for --device but received "${device}"`, 2);
  if (!(Number(limit) > 0))
    throw new SetupError(`Expected a number above 0 for --limit but received "${limit}"`, 2);
  if (!existsSync(dirname(resolve(json))))
    throw new SetupError(`The folder of --json ${json} does not exist`, 2);
  return {
    help: given.help ?? false,
    list: given.list ?? false,
    only: given.only?.split(','),
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- it matches the pattern
    device: /** @type {import('../../dist/index.js').Device} */ (device),
    json: resolve(json),
    limit: Number(limit),
  };
}

/** @param {readonly string[]} args */
function parse(args) {
  const text = /** @type {const} */ ({ type: 'string' });
  const flag = /** @type {const} */ ({ type: 'boolean' });
  const options = {
    list: flag,
    only: text,
    device: text,
    json: text,
    limit: text,
    help: { ...flag, short: 'h' },
  };
  try {
    return parseArgs({ args: [...args], options }).values;
  } catch (error) {
    const [message = ''] = messageOf(error).split('\n');
    throw new SetupError(`${message.replace(/\.$/, '')}; all options: npm run check:gpu -- --help`, 2);
  }
}
