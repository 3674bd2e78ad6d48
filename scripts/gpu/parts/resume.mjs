// A run that is killed and resumed ends with the bits of one that was not. Batches have one length, so that it is killed once
// in a step that runs eagerly, once in one that is recorded, and once in one that is replayed.
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { projectRoot } from '../../setup/paths.mjs';
import { inChild } from '../child.mjs';

const STEPS = 6;

/** @param {import('../part.mjs').Context} context */
export async function run({ device, best, isSmall, folder, check }) {
  const here = join(folder, 'resume');
  await mkdir(here, { recursive: true });
  const data = join(here, 'train.csv');
  const rows = Array.from(
    { length: 64 },
    (_, i) =>
      `what a ${i % 2 === 0 ? 'good' : 'bad'} film it was ${'very '.repeat(i % 3 === 0 ? 2 : 2)}much,${i % 2}`,
  );
  await writeFile(data, ['text,label', ...rows, ''].join('\n'));
  const tokenizer = join(projectRoot, 'configs', 'quickstart-model');
  const job = /** @type {const} */ ({
    task: 'run',
    device,
    dtype: best,
    data,
    tokenizer,
    steps: STEPS,
  });
  const whole = await inChild({ ...job, output: join(here, 'whole') });
  if (whole.result === undefined) return check('a run that nobody kills', false, whole.stderr.trim());
  // Of two micro-batches the first has a graph of its own, and so has the second.
  const kills = /** @type {const} */ ([
    ['eager', 1],
    ['being recorded', 2],
    ['replayed', 4],
  ]);
  for (const [what, killAt] of isSmall ? kills.slice(1, 2) : kills) {
    const output = join(here, `killed-${killAt}`);
    const killed = await inChild({ ...job, output, killAt });
    check(
      `killed where steps are ${what}`,
      killed.code === null,
      killed.code === null ? '' : `it ended with ${killed.code}: ${killed.stderr.trim()}`,
    );
    const { result, stderr } = await inChild({ ...job, output, resumes: true });
    check(
      `... and resumed: the same bits`,
      result?.bits === whole.result.bits,
      result === undefined ? stderr.trim() : `${whole.result.bits}, ${result.bits}`,
    );
  }
}
