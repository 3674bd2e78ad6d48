// bfloat16 where there is no brgemm for it, as on CPUs without AVX-512 and on GPUs: LibTorch's operators read copies of
// the weights, which must never be older than the weights.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import tap from 'tap';

const script = fileURLToPath(new URL('../fixtures/rounded-weights.ts', import.meta.url));

await tap.test('copies of the weights follow them', async (t) => {
  // oneDNN then has no brgemm of bfloat16. NODE_OPTIONS stay: tap's loader reads the TypeScript.
  const env = { ...process.env, ONEDNN_MAX_CPU_ISA: 'AVX2' };
  const { stdout } = await promisify(execFile)(process.execPath, [...process.execArgv, script], { env });
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- our own script wrote it
  const { differences, gradient } = JSON.parse(stdout) as {
    differences: Record<string, number>;
    gradient: number;
  };
  for (const [name, difference] of Object.entries(differences)) t.equal(difference, 0, name);
  t.equal(Object.keys(differences).length, 7);
  t.ok(
    gradient > 1e-5 && gradient < 2e-2,
    `the gradient differs from float32's by ${gradient.toExponential(1)}`,
  );
});
