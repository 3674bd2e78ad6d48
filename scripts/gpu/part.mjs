// The process of one part of `npm run check:gpu`: each finding is a line of JSON on stdout as soon as it is known.
import { messageOf } from '../setup/errors.mjs';

/**
 * What a part is given.
 *
 * @typedef {'float32' | 'bfloat16'} Dtype
 * @typedef {import('./runner.mjs').PartJob & Types & Findings} Context
 * @typedef {{ dtypes: readonly Dtype[], best: Dtype }} Types that the device has arithmetic for, and the one to train in
 * @typedef {{ check: Check, figure: Figure, note: (text: string) => void, skip: (reason: string) => void }} Findings
 * @typedef {(name: string, ok: boolean, detail?: string) => void} Check
 * @typedef {(name: string, value: number, unit: string, aim?: string) => void} Figure
 */

const { part, ...job } = JSON.parse(process.argv[2] ?? '{}');
try {
  /** @type {{ run: (context: Context) => Promise<void> }} */
  const { run } = await import(`./parts/${part}.mjs`);
  await run({
    ...job,
    dtypes: job.bfloat16 ? ['float32', 'bfloat16'] : ['float32'],
    best: job.bfloat16 ? 'bfloat16' : 'float32',
    check: (name, ok, detail = '') => find({ kind: 'check', name, ok, detail }),
    figure: (name, value, unit, aim) =>
      find({ kind: 'figure', name, value, unit, ...(aim !== undefined && { aim }) }),
    note: (text) => find({ kind: 'note', text }),
    skip: (reason) => find({ kind: 'skip', reason }),
  });
} catch (error) {
  // The message and the innermost calls, as the last lines of what the part prints.
  const stack = error instanceof Error ? error.stack : undefined;
  process.stderr.write(`${(stack ?? messageOf(error)).split('\n').slice(0, 5).join('\n')}\n`);
  process.exit(1);
}

/** @param {import('./report.mjs').Finding} finding */
function find(finding) {
  process.stdout.write(`${JSON.stringify(finding)}\n`);
}
