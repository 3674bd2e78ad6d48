// CPU or CUDA build: what was asked for, else what the machine's NVIDIA driver can run.
import { SetupError } from '../setup/errors.mjs';
import { readFileSync } from 'node:fs';

import { OLDEST_DRIVER, VARIANTS } from './versions.mjs';

/** @typedef {import('./versions.mjs').Variant} Variant */

/**
 * @param {string} value
 * @returns {Variant}
 * @throws {SetupError} exit code 2
 */
export function parseVariant(value) {
  const variant = VARIANTS.find((known) => known === value);
  if (!variant)
    throw new SetupError(`Expected ${VARIANTS.join(' or ')} for --variant but received "${value}"`, 2);
  return variant;
}

/**
 * The build to fetch on this machine, and why.
 *
 * @param {{ driverFile?: string }} [options] the file in which the NVIDIA kernel driver states its version
 * @returns {{ variant: Variant, reason: string }}
 */
export function variantFor({ driverFile = '/proc/driver/nvidia/version' } = {}) {
  const driver = driverVersion(driverFile);
  if (driver === null) return { variant: 'cpu', reason: 'no NVIDIA driver on this machine' };
  if (driver < OLDEST_DRIVER) {
    return {
      variant: 'cpu',
      reason: `NVIDIA driver ${driver} is older than ${OLDEST_DRIVER}, which CUDA 13 needs`,
    };
  }
  return { variant: 'cu130', reason: `NVIDIA driver ${driver} found` };
}

/**
 * @param {string} file
 * @returns {number | null} the major version
 */
function driverVersion(file) {
  try {
    const major = / (\d+)\.\d+/.exec(readFileSync(file, 'utf8'))?.[1];
    return major ? Number(major) : null;
  } catch {
    return null;
  }
}
