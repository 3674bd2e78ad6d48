// npm run bench: real tokens per second of this machine, step by step, end to end or in evaluation, and against HF or
// another build. Every run is a process of its own; this one alternates the sides, summarizes and prints to stdout.
import { rmSync } from 'node:fs';
import { mkdtemp, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { openBuilds } from './bench/builds.mjs';
import { mediansOf } from './bench/comparison.mjs';
import { loadWarning, machineFacts, machineLines } from './bench/machine.mjs';
import { benchOptions, HELP, optionsFor } from './bench/options.mjs';
import { planOf } from './bench/plans.mjs';
import { openReference } from './bench/reference.mjs';
import { LEGEND, benchmarkLines } from './bench/report.mjs';
import { runAlternately } from './bench/runs.mjs';
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
  if (options.mode === 'targets' && machine.device !== 'cpu')
    throw new SetupError('--targets are those of processors: add --device cpu', 2);
  print(machineLines(machine));
  const warning = loadWarning(machine.load);
  if (warning !== '') log(warning);

  const folder = await mkdtemp(join(tmpdir(), 'bertune-bench-'));
  process.once('exit', () => rmSync(folder, { recursive: true, force: true })); // after a signal too
  /** @type {import('./bench/reference.mjs').Reference | null} */
  let reference = null;
  try {
    reference = await referenceOf(options, machine);
    const figures = await bench(options, { machine, builds, folder, reference });
    if (options.json !== undefined)
      await writeFile(options.json, `${JSON.stringify({ machine, options, ...figures }, null, 2)}\n`);
  } finally {
    reference?.close();
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
  const benchmarks = [];
  for (const benchmark of plan.benchmarks)
    benchmarks.push(await measure(benchmark, options.repeat, plan.summarize !== undefined));
  if (benchmarks.some(({ sides }) => !sides.some(({ role }) => role === 'ours'))) process.exitCode = 1;
  const summary = plan.summarize?.(benchmarks);
  if (summary !== undefined)
    print([...summary.lines, `It took ${((performance.now() - started) / 60_000).toFixed(1)} minutes.`]);
  return { reference: versions, benchmarks, ...summary?.figures };
}

/** @param {import('./bench/runs.mjs').Benchmark} benchmark @param {number} repeat @param {boolean} goesOn after a failure */
async function measure({ title, prepare }, repeat, goesOn) {
  try {
    const work = await prepare();
    const { runs, failures } = await runAlternately(title, work, { repeat, goesOn });
    const sides = mediansOf(runs);
    print(benchmarkLines(title, work, sides));
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
