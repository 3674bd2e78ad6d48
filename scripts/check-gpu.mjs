// npm run check:gpu: what only a machine with a GPU can show, in under 8 minutes: exactness, speed and memory, part by part. Each
// part is a process of its own with a time limit, its row is printed at once, and the JSON file is written anew after each, so
// that a run that is cut off has lost little. With --device cpu the parts run on small models, which proves the command only.
import { rmSync } from 'node:fs';
import { mkdtemp, rename, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { machineFacts, machineLines } from './bench/machine.mjs';
import { gpuOptions, HELP } from './gpu/options.mjs';
import { partsOf } from './gpu/parts.mjs';
import { describePart, rowLines } from './gpu/report.mjs';
import { runPart } from './gpu/runner.mjs';
import { ensureReady } from './setup/ensure.mjs';
import { runMain } from './setup/terminal.mjs';

await runMain(async () => {
  const options = gpuOptions(process.argv.slice(2));
  if (options.help) return print([HELP.trimEnd()]);
  const parts = partsOf(options.only);
  if (options.list) return print(parts.map(describePart));
  await ensureReady();
  const machine = await machineFacts(options.device);
  const isStandIn = machine.device === 'cpu' || machine.gpu?.startsWith('Fake GPU') === true;
  print(machineLines(machine));
  if (isStandIn)
    print(['', 'STAND-IN: no GPU computes here. Models are small, and figures say nothing of a GPU.']);
  const budget = parts.reduce((sum, part) => sum + part.seconds, 0);
  print(['', `${parts.length} parts, at most ${Math.ceil(budget / 60)} minutes on an H200`]);

  const folder = await mkdtemp(join(tmpdir(), 'bertune-gpu-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true })); // after a signal too
  const started = performance.now();
  const results = [];
  for (const part of parts) {
    const job = {
      device: machine.device,
      gpu: machine.gpu,
      isSmall: isStandIn,
      bfloat16: machine.bfloat16,
      folder,
    };
    const result = await runPart(part, job, options.limit);
    results.push(result);
    print(rowLines(result));
    // Whole, also where this process ends meanwhile.
    const unfinished = `${options.json}.unfinished`;
    await writeFile(unfinished, `${JSON.stringify({ machine, isStandIn, results }, null, 2)}\n`);
    await rename(unfinished, options.json);
  }
  const failed = results.filter(({ result }) => result !== 'ok' && result !== 'skipped');
  const minutes = ((performance.now() - started) / 60_000).toFixed(1);
  print([
    '',
    `${results.length - failed.length} of ${results.length} parts without a failure, in ${minutes} minutes; ${options.json}`,
  ]);
  if (isStandIn) print(['STAND-IN: none of this was seen by a GPU.']);
  return failed.length > 0 ? 1 : 0;
});

/** @param {readonly string[]} lines */
function print(lines) {
  process.stdout.write(`${lines.join('\n')}\n`);
}
