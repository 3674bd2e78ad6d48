// npm test: what set-up still has to do, then every test: one line for each file, and failures in full.
// BERTUNE_TEST_DEVICE=cuda compares native steps on a GPU with their expected values; without it no test sees a GPU.
// The last line on stdout is `N passed, N failed` with the numbers of assertions. `npm test -- test/one.ts` runs one.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import { finished } from 'node:stream/promises';
import { stringify } from 'yaml';
import { ensureReady } from './setup/ensure.mjs';
import { projectRoot } from './setup/paths.mjs';
import { runMain } from './setup/terminal.mjs';
import { tapReader } from './test/tap.mjs';

await runMain(async () => {
  await ensureReady({ tests: true });
  const { exitCode, total } = await runTap(process.argv.slice(2));
  // A run that tested nothing, or that tap itself reports as failed, must not look like a success.
  if (total.failed === 0 && (exitCode !== 0 || total.passed === 0)) {
    total.failed = 1;
    process.stdout.write(
      total.passed === 0 ? 'No test was run.\n' : `tap ended with exit code ${exitCode}.\n`,
    );
  }
  const skipped = total.skipped > 0 ? `, ${total.skipped} skipped` : '';
  process.stdout.write(`\n${total.passed} passed, ${total.failed} failed${skipped}\n`);
  return total.failed > 0 ? 1 : 0;
});

/** @param {readonly string[]} args passed on to tap, whose settings are in .taprc */
async function runTap(args) {
  const tap = join(projectRoot, 'node_modules', 'tap', 'dist', 'esm', 'run.mjs');
  const child = spawn(process.execPath, [tap, '--reporter=tap', ...args], {
    cwd: projectRoot,
    env: {
      ...process.env,
      // Several files run at a time: a thread of LibTorch that waits by spinning takes the core of the other file.
      OMP_WAIT_POLICY: 'passive',
      ...(process.env['BERTUNE_TEST_DEVICE'] !== 'cuda' && { CUDA_VISIBLE_DEVICES: '' }),
    },
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  const { parser, total } = tapReader(showFile);
  const exit = new Promise((resolve) => child.on('close', resolve));
  child.stdout.pipe(parser);
  await finished(child.stdout);
  return { exitCode: await exit, total };
}

/** @param {import('./test/tap.mjs').Result} file */
function showFile({ name, counts, failures, ms }) {
  const { passed, failed, skipped } = counts;
  const parts = [`${passed} passed`, failed > 0 && `${failed} failed`, skipped > 0 && `${skipped} skipped`];
  const summary = parts.filter(Boolean).join(', ');
  process.stdout.write(`${failed > 0 ? 'FAIL' : 'ok  '} ${name}: ${summary} (${(ms / 1000).toFixed(1)} s)\n`);
  for (const { path, diag } of failures) {
    process.stdout.write(`  not ok: ${path}\n${indent(explain(diag))}`);
  }
}

/** @param {unknown} diag tap's diagnosis; that of a file which crashed mostly lists how the file was started */
function explain(diag) {
  if (typeof diag !== 'object' || diag === null) return '';
  if (!('command' in diag)) return stringify(diag);
  const ending = new Set(['exitCode', 'signal', 'timeout', 'tapError']);
  return stringify(
    Object.fromEntries(Object.entries(diag).filter(([key, value]) => ending.has(key) && value)),
  );
}

/** @param {string} text */
function indent(text) {
  return text.replace(/^(?=.)/gm, '      ');
}
