// Channels of a world, in two processes.
import { spawn } from 'node:child_process';
import { join } from 'node:path';
import t from 'tap';

const dist = join(import.meta.dirname, '../../dist');

/** Each process is late in turn, so that the other asks for its address before it has one. */
const PROGRAM = `
import { openWorld, worldAddress } from ${JSON.stringify(join(dist, 'index.js'))};
import { launch, OF_LAUNCHER } from ${JSON.stringify(join(dist, 'distributed/launch.js'))};
import { setTimeout } from 'node:timers/promises';

if (process.env[OF_LAUNCHER] === undefined) process.exitCode = await launch(process.argv.slice(1), 2);
else {
  const world = await openWorld(worldAddress(process.env, 10_000));
  const sums = [];
  for (let turn = 0; turn < 4; turn++) {
    if (world.rank === turn % 2) await setTimeout(200);
    const channel = await world.channel('steps');
    sums.push(...(await channel.sum([10 * turn + world.rank])));
  }
  if (world.isMain) console.log(JSON.stringify(sums));
  await world.close();
}
`;

t.test('two trainings of one world have channels of their own', async (t) => {
  const script = join(t.testdir({ 'program.mjs': PROGRAM }), 'program.mjs');
  const child = spawn(process.execPath, [script], { env: { ...process.env, NODE_OPTIONS: '' } });
  const out = { stdout: '', stderr: '' };
  child.stdout.setEncoding('utf8').on('data', (text: string) => (out.stdout += text));
  child.stderr.setEncoding('utf8').on('data', (text: string) => (out.stderr += text));
  const code = await new Promise((resolve) => child.on('close', resolve));
  t.equal(code, 0, out.stderr);
  t.equal(out.stdout, '[1,21,41,61]\n');
});
