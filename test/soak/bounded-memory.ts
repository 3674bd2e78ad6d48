// Memory does not grow with the data: 2 GB of texts, a million rows to evaluate, a million rows to predict. Each is run by
// scripts/check-streaming-memory.mjs with a small file and a large one; the difference must stay below its limit.
import { spawn } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';

import { bertune, flags } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

const SCRIPT = fileURLToPath(new URL('../../scripts/check-streaming-memory.mjs', import.meta.url));
const MILLION_ROWS = ['--row-bytes', '70', '--gigabytes', '0.065'];

function check(args: readonly string[]): Promise<{ code: number | null; stdout: string }> {
  const child = spawn(process.execPath, [SCRIPT, ...args], {
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  let stdout = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (!text.startsWith('{')) process.stderr.write(text.replaceAll(/^/gm, '  ').trimEnd() + '\n');
  });
  return new Promise((done, reject) =>
    child.on('error', reject).on('close', (code) => done({ code, stdout })),
  );
}

await t.test('2 GB of texts', { timeout: 0 }, async (t) => {
  const { code, stdout } = await check([]);
  t.equal(code, 0, stdout);
});

await t.test('a million rows', { timeout: 0 }, async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 20, test: 20 });
  writeFileSync(join(folder, 'labels.csv'), 'text,label\nthe film,good\nthe plot,bad\n');
  const options = {
    config: 'model/config.json',
    tokenizer: 'model',
    'train-file': 'labels.csv',
    'max-steps': '1',
  };
  const trained = await bertune(['train', ...flags({ ...options, 'output-dir': 'out' })], { cwd: folder });
  t.equal(trained.code, 0, trained.stderr);
  for (const command of ['--evaluate', '--predict']) {
    const { code, stdout } = await check([command, ...MILLION_ROWS, '--', '--model', join(folder, 'out')]);
    t.equal(code, 0, stdout);
    const rows = Number(/large: \d+ MB, (\d+) rows/.exec(stdout)?.[1]);
    t.ok(rows >= 1e6, `${command}: ${rows} rows`);
  }
});
