// The fuzzer of npm run test:fuzz in short: a few hundred inputs for each format.
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const INPUTS = 200;
const FORMATS = 12;
const script = fileURLToPath(new URL('../scripts/fuzz.mjs', import.meta.url));
const folder = t.testdir({ keep: {}, temporary: {} });
const [keep, temporary] = [join(folder, 'keep'), join(folder, 'temporary')];

t.test(`${INPUTS} inputs for each format`, async (t) => {
  const lines = (await fuzz(['--inputs', String(INPUTS), '--keep', keep])).trimEnd().split('\n');
  const good = lines.filter(
    (line) => line.startsWith('ok ') && line.includes(`: ${INPUTS} inputs, 0 with a fault`),
  );
  t.equal(good.length, FORMATS, lines.join('\n'));
  t.equal(lines.at(-1), `${FORMATS * INPUTS} passed, 0 failed`);
  t.same(readdirSync(temporary), [], 'nothing is left in the temporary folder');
});

/** Run by itself: tap's loader does not find the parts of the package that writes Parquet. */
function fuzz(args: readonly string[]): Promise<string> {
  const env = { ...process.env, NODE_OPTIONS: '', TMPDIR: temporary };
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env }, (_error, stdout) => resolve(stdout));
  });
}
