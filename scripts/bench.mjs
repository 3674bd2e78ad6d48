// npm run bench: real tokens per second of this machine, step by step, end to end or in evaluation, and against HF or
// another build. Every run is a process of its own; this one alternates the sides, summarizes and prints to stdout.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBuilds } from './bench/builds.mjs';
import { mediansOf } from './bench/comparison.mjs';
import { loadWarning, machineFacts, machineLines } from './bench/machine.mjs';
import { benchOptions, HELP, optionsFor } from './bench/options.mjs';
import { planOf } from './bench/plans.mjs';
import { openReference } from './bench/reference.mjs';
import { LEGEND, workLines } from './bench/report.mjs';
import { takeTurns } from './bench/runs.mjs';
import { messageOf, SetupError } from './setup/errors.mjs';
import { runMain, log } from './setup/terminal.mjs';

await runMain(async () => {
  const given = benchOptions(process.argv.slice(2));
  if (given.help) {
    process.stdout.write(HELP);
    return;
  }
  const builds = await openBuilds(given.against);
  const machine = await machineFacts(given.device);
  const options = optionsFor(given, machine);
  if (options.mode === 'targets' && machine.device === 'cuda')
    throw new SetupError('--targets are those of processors: add --device cpu', 2);
  print(machineLines(machine));
  const warning = loadWarning(machine.load);
  if (warning !== '') log(warning);

  const folder = await mkdtemp(join(tmpdir(), 'bertune-bench-'));
  /** @type {import('./bench/reference.mjs').Reference | null} */
  let reference = null;
  try {
    reference = await referenceOf(options, machine);
    const figures = await bench(options, { machine, builds, folder, reference });
    if (options.json !== undefined)
      await writeFile(options.json, `${JSON.stringify({ machine, options, ...figures }, null, 2)}\n`);
  } finally {
    reference?.close();
    await rm(folder, { recursive: true, force: true });
  }
  if (warning !== '') log(warning);
});

/** @param {import('./bench/options.mjs').BenchOptions} options @param {import('./bench/runs.mjs').Context} context */
async function bench(options, context) {
  const plan = planOf(options, context);
  const versions = context.reference?.versions ?? null;
  const [, before] = context.builds;
  print([
    ...(versions === null ? [] : [versions]),
    ...(before === undefined ? [] : [`In alternation with the build ${before.name}`]),
  ]);
  print(['', ...plan.notes, ...LEGEND]);
  const started = performance.now();
  const works = [];
  for (const work of plan.works) works.push(await measure(work, options.repeat, plan.conclude !== undefined));
  if (works.some(({ sides }) => !sides.some(({ role }) => role === 'ours'))) process.exitCode = 1;
  const results = plan.conclude?.(works);
  if (results !== undefined)
    print([...results.lines, `It took ${((performance.now() - started) / 60_000).toFixed(1)} minutes.`]);
  return { reference: versions, works, ...(results !== undefined && { targets: results.targets }) };
}

/** @param {import('./bench/runs.mjs').Work} work @param {number} repeat @param {boolean} goesOn after a failure */
async function measure({ title, prepare }, repeat, goesOn) {
  try {
    const work = await prepare();
    const { runs, failures } = await takeTurns(title, work, { repeat, goesOn });
    const sides = mediansOf(runs);
    print(workLines(title, work, sides));
    const { shape, lengths } = work;
    return { title, shape, lengths, sides, runs, failures };
  } catch (error) {
    if (!goesOn) throw error;
    return { title, sides: [], failures: [{ name: 'all', reason: messageOf(error) }] };
  }
}

/** @param {import('./bench/options.mjs').BenchOptions} options @param {import('./bench/machine.mjs').Machine} machine */
async function referenceOf({ compare, compareTutorial, mode }, { device }) {
  return compare || compareTutorial || mode === 'targets' ? openReference(device) : null;
}

/** @param {readonly string[]} lines */
function print(lines) {
  process.stdout.write(`${lines.join('\n')}\n`);
}
