// A short training under NVIDIA's compute-sanitizer, which finds what kernels read or write out of bounds or uninitialised.
import { capture } from '../../setup/process.mjs';
import { inChild } from '../child.mjs';
import { smallConfig } from '../training.mjs';

const FAULTY = 9;

/** @param {import('../part.mjs').Context} context */
export async function run({ device, best, check, skip }) {
  if (device === 'cpu') return skip('the CPU has sanitizers of its own: scripts/check-sanitizers.mjs');
  const { missing } = await capture('compute-sanitizer', ['--version']);
  if (missing) return skip("no compute-sanitizer in PATH; it is part of NVIDIA's CUDA toolkit");
  const wrapper = [
    'compute-sanitizer',
    '--tool',
    'memcheck',
    '--error-exitcode',
    String(FAULTY),
    '--target-processes',
    'all',
  ];
  for (const cudaGraphs of [false, true]) {
    const { code, stderr } = await inChild(
      {
        task: 'train',
        device,
        dtype: best,
        config: smallConfig('1x64x2'),
        batches: [[9, 17]],
        steps: 3,
        options: { cudaGraphs },
      },
      {
        env: { BERTUNE_FUSED_KERNELS: '1', PYTORCH_NO_CUDA_MEMORY_CACHING: cudaGraphs ? '0' : '1' },
        wrapper,
      },
    );
    const found = stderr
      .split('\n')
      .filter((line) => /ERROR SUMMARY|Invalid|Error/.test(line))
      .slice(0, 5);
    check(
      cudaGraphs ? 'with graphs' : 'without graphs, each tensor with memory of its own',
      code === 0,
      found.join('; '),
    );
  }
}
