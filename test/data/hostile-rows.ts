// Bad rows by the million, in a process with little memory.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

const PROGRAM = `
  import { openSplit } from ${JSON.stringify(new URL('../../dist/data/index.js', import.meta.url).href)};
  const options = { name: 'train', files: [process.argv[1]], needsLabels: true, badRows: 'skip' };
  await openSplit(options).catch((error) => process.stdout.write(error.message));
`;

t.test('bad rows are not kept until a good one comes', (t) => {
  const path = join(t.testdir(), 'bad.jsonl');
  writeFileSync(path, Buffer.alloc(2 ** 22, '1\n'));
  const args = ['--max-old-space-size=250', '--input-type=module', '-e', PROGRAM, path];
  const env = { ...process.env, NODE_OPTIONS: '' };
  t.match(execFileSync(process.execPath, args, { env, encoding: 'utf8' }), /only 2097152 bad rows/);
  t.end();
});
