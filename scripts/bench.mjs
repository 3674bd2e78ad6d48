// npm run bench: real tokens per second of this machine, step by step, end to end or in evaluation, and against HF.
// Every run is a process of its own; this one alternates the sides, summarizes and prints. Results go to stdout.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { mediansOf } from './bench/comparison.mjs';
import { planEndToEnd } from './bench/end-to-end.mjs';
import { planEvaluation } from './bench/evaluation.mjs';
import { loadWarning, machineFacts, machineLines } from './bench/machine.mjs';
import { benchOptions, HELP } from './bench/options.mjs';
import { openReference } from './bench/reference.mjs';
import { LEGEND, workLines } from './bench/report.mjs';
import { takeTurns } from './bench/runs.mjs';
import { planSteps } from './bench/steps.mjs';
import { planTargets } from './bench/targets.mjs';
import { runMain, log } from './setup/terminal.mjs';

/**
 * What each kind of measurement consists of.
 *
 * @type {Record<import('./bench/options.mjs').Mode, (options: import('./bench/options.mjs').BenchOptions, context: import('./bench/runs.mjs').Context) => Promise<import('./bench/runs.mjs').Plan>>}
 */
const PLANS = { steps: planSteps, endToEnd: planEndToEnd, evaluate: planEvaluation, targets: planTargets };

await runMain(async () => {
  const options = benchOptions(process.argv.slice(2));
  if (options.help) {
    process.stdout.write(HELP);
    return;
  }
  const machine = await machineFacts(options.device);
  print(machineLines(machine));
  const warning = loadWarning(machine.load);
  if (warning !== '') log(warning);

  const folder = await mkdtemp(join(tmpdir(), 'bertune-bench-'));
  try {
    const figures = await bench(options, { machine, folder, reference: await referenceOf(options, machine) });
    if (options.json !== undefined)
      await writeFile(options.json, `${JSON.stringify({ machine, options, ...figures }, null, 2)}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
  if (warning !== '') log(warning);
});

/**
 * @param {import('./bench/options.mjs').BenchOptions} options
 * @param {import('./bench/runs.mjs').Context} context
 */
async function bench(options, context) {
  const plan = await PLANS[options.mode](options, context);
  print([...(context.reference === null ? [] : [context.reference.versions]), '', ...plan.notes, ...LEGEND]);
  const works = [];
  const measured = new Map();
  for (const work of plan.works) {
    const runs = await takeTurns(work, options.repeat);
    const sides = mediansOf(runs);
    print(workLines(work, sides));
    measured.set(work, sides);
    const { title, shape, lengths } = work;
    works.push({ title, shape, lengths, sides, runs });
  }
  const versions = context.reference?.versions ?? null;
  const results = plan.conclude?.(measured);
  if (results !== undefined) print(results.lines);
  return { reference: versions, works, ...(results !== undefined && { targets: results.targets }) };
}

/**
 * @param {import('./bench/options.mjs').BenchOptions} options
 * @param {import('./bench/machine.mjs').Machine} machine
 */
async function referenceOf({ compare, compareTutorial, mode }, { device }) {
  return compare || compareTutorial || mode === 'targets' ? openReference(device) : null;
}

/** @param {readonly string[]} lines */
function print(lines) {
  process.stdout.write(`${lines.join('\n')}\n`);
}
