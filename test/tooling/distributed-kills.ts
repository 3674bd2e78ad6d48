// scripts/check-kills.mjs in short.
import { execFile } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import t from 'tap';

const script = fileURLToPath(new URL('../../scripts/check-kills.mjs', import.meta.url));
const KILLS = 5;

t.test(`${KILLS} random kills`, { timeout: 0 }, async (t) => {
  const output = await new Promise<string>((resolve) => {
    const args = [script, '--kills', String(KILLS), '--seed', '7', '--jobs', String(KILLS)];
    const env = { ...process.env, NODE_OPTIONS: '' };
    execFile(process.execPath, args, { env }, (_error, stdout, stderr) => resolve(stdout + stderr));
  });
  t.match(output, new RegExp(`\\n${KILLS} passed, 0 failed\\n$`), output);
});
