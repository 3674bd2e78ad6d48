// npm run bench: real tokens per second of this machine, end to end or step by step, and against HF Trainer.
// Every run is a process of its own; this one only takes turns, adds up and prints. Results go to stdout.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { benchEndToEnd } from './bench/end-to-end.mjs';
import { benchOptions, HELP } from './bench/options.mjs';
import { ourWorker } from './bench/jobs.mjs';
import { loadWarning, machineFacts, machineLines } from './bench/machine.mjs';
import { benchSteps } from './bench/steps.mjs';
import { runMain, say } from './setup/terminal.mjs';

await runMain(async () => {
  const options = benchOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  const machine = await machineFacts(ourWorker);
  print(machineLines(machine));
  const warning = loadWarning(machine.load);
  if (warning !== '') say(warning);

  const folder = await mkdtemp(join(tmpdir(), 'bertune-bench-'));
  try {
    const bench = options.steps ? benchSteps : benchEndToEnd;
    const { lines, results } = await bench(options, folder);
    print(lines);
    if (options.json !== undefined)
      await writeFile(options.json, `${JSON.stringify({ machine, options, ...results }, null, 2)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (warning !== '') say(warning);
});

/** @param {readonly string[]} lines */
function print(lines) {
  process.stdout.write(`${lines.join('\n')}\n`);
}
