// The fuzzers of npm run test:fuzz in short: a few hundred inputs for each format.
import { execFile } from 'node:child_process';
import { readdirSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const INPUTS = 200;
const FORMATS = [
  'safetensors',
  'config',
  'tokenizer',
  'adapter',
  'checkpoint',
  'trainer-state',
  'csv',
  'csv-unquoted',
  'jsonl',
  'json',
  'parquet',
  'gzip',
  'zstd',
];
const script = fileURLToPath(new URL('../../scripts/fuzz.mjs', import.meta.url));
const folder = t.testdir({ keep: {}, temporary: {} });
const [keep, temporary] = [join(folder, 'keep'), join(folder, 'temporary')];
/** Run by itself: tap's loader does not find the parts of the package that writes Parquet. */
const ENV = { ...process.env, NODE_OPTIONS: '', TMPDIR: temporary };

t.test(`${INPUTS} inputs for each format`, async (t) => {
  const lines = (await fuzz([...FORMATS, '--inputs', String(INPUTS), '--keep', keep])).trimEnd().split('\n');
  const good = lines.filter(
    (line) => line.startsWith('ok ') && line.includes(`: ${INPUTS} inputs, 0 with a fault`),
  );
  t.equal(good.length, FORMATS.length, lines.join('\n'));
  t.equal(lines.at(-1), `${FORMATS.length * INPUTS} passed, 0 failed`);
  t.same(readdirSync(temporary), [], 'nothing is left in the temporary folder');
});

t.test('the malicious hub and the addon count as well', async (t) => {
  const lines = (await fuzz(['hub', '--inputs', '20'])).trimEnd().split('\n');
  t.match(lines.slice(-3), ['ok   hub: 20 downloads, 0 with a fault', '', '20 passed, 0 failed']);
  const native = await fuzz(['native', '--inputs', '100']);
  // A process makes a hundred calls and closes what is still open; and one session is opened and closed.
  t.match(native, /^ok {3}native: 1\d\d calls and sessions, 0 with a fault\n\n1\d\d passed, 0 failed\n$/m);
});

t.test('an unknown name, and output that is cut off', async (t) => {
  const { stderr } = await run(['docx']);
  t.match(stderr, /Expected safetensors, .*, hub, native but received "docx"/);
  const command = `"${process.execPath}" "${script}" config config --jobs 1 --inputs 50 | head -n 0`;
  const cut = await new Promise<string>((resolve) => {
    execFile('sh', ['-c', command], { env: ENV }, (_error, _stdout, text) => resolve(text));
  });
  t.equal(cut, '', 'no EPIPE');
});

function run(args: readonly string[]): Promise<{ stdout: string; stderr: string }> {
  return new Promise((resolve) => {
    execFile(process.execPath, [script, ...args], { env: ENV }, (_error, stdout, stderr) =>
      resolve({ stdout, stderr }),
    );
  });
}

async function fuzz(args: readonly string[]): Promise<string> {
  return (await run(args)).stdout;
}
