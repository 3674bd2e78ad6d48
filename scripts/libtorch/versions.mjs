// Which LibTorch bertune is built and tested with, CPU or CUDA, and where its parts are published.
import { readFileSync } from 'node:fs';
import { SetupError } from '../setup/errors.mjs';

/** The version that set-up fetches. */
export const PINNED = '2.13.0';
/** The versions that an earlier install may have: 2.11 up to and including 2.14. */
const SUPPORTED = { major: 2, minMinor: 11, maxMinor: 14 };
export const SUPPORTED_TEXT = '2.11 to 2.14';

/** @param {string} version as in `2.13.0` or `2.13.0+cpu` */
export function isSupported(version) {
  const [major, minor] = version.split('.').map(Number);
  if (minor === undefined) return false;
  return major === SUPPORTED.major && minor >= SUPPORTED.minMinor && minor <= SUPPORTED.maxMinor;
}

/**
 * @typedef {'cpu' | 'cu130'} Variant
 * @typedef {{ path: string, size: number, sha256: string }} Archive path below the download host
 */

/** @type {readonly Variant[]} */
export const VARIANTS = ['cpu', 'cu130'];

/** The oldest NVIDIA driver that runs CUDA 13 (CUDA Toolkit release notes, "CUDA driver" table). */
export const OLDEST_DRIVER = 580;

export const ARCHIVE_HOST = 'https://download.pytorch.org/libtorch';

/** The PyTorch project's prebuilt archives of the pinned version. They exist for Linux on x64 only. */
/** @type {Readonly<Record<Variant, Archive>>} */
export const ARCHIVES = {
  cpu: {
    path: `cpu/libtorch-shared-with-deps-${PINNED}%2Bcpu.zip`,
    size: 126_385_248,
    sha256: 'edbf4cbed78433d803e90a65f1752e57783d164bce66c95c0872b2ab8f5c159e',
  },
  cu130: {
    path: `cu130/libtorch-shared-with-deps-${PINNED}%2Bcu130.zip`,
    size: 500_687_821,
    sha256: '945c5a3d946a28b387ad9dc9fddda7ba03e35fae1375b84ebff15df789436f82',
  },
};

/**
 * NVIDIA's libraries that a CUDA build of the pinned version needs beside it (the Requires-Dist lines of the wheel).
 * To load on a machine without a GPU it needs `load` only; to use a GPU, `all`.
 */
export const NVIDIA_PACKAGES = {
  load: ['cuda-toolkit[cudart,cupti]==13.0.3'],
  all: [
    'cuda-toolkit[cublas,cudart,cufft,cufile,cupti,curand,cusolver,cusparse,nvjitlink,nvrtc,nvtx]==13.0.3',
    'nvidia-cudnn-cu13==9.20.0.48',
    'nvidia-cusparselt-cu13==0.8.1',
    'nvidia-nccl-cu13==2.29.7',
    'nvidia-nvshmem-cu13==3.4.5',
  ],
};

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
