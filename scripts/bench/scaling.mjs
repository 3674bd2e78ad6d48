// Training by several processes: how much of the speed of one is left to each.
import { buildSides, ourBuild } from './builds.mjs';
import { ratio } from './comparison.mjs';
import { togetherSides } from './reference.mjs';
import { failureLines } from './report.mjs';
import { percent, processes, table, times, withSpread } from './statistics.mjs';
import { describeVariant, stepJob } from './steps.mjs';

/**
 * @typedef {import('./options.mjs').BenchOptions} BenchOptions
 * @typedef {import('./runs.mjs').Context} Context
 * @typedef {import('./runs.mjs').Results} Results
 * @typedef {import('./runs.mjs').Run} Run
 * @typedef {import('./runs.mjs').Side} Side
 * @typedef {import('./statistics.mjs').Summary} Summary
 */

/** Processes wait for each other, so that one step alone would tell little. */
const STEPS = { least: 3, longer: 2 };

export const SCALING_NOTES = [
  `Scaling: ${STEPS.longer} times as many steps, at least ${STEPS.least}; tokens a second of all processes together, until the slowest is done. Weak scaling:`,
  'over those of one process with the same rows and threads, times the number of processes; without sums: the same of',
  'processes that run beside each other and sum nothing, which is what the machine allows. Strong scaling: the same of',
  'processes that share the rows out. sent: bytes of a process in a step, by a ring all-reduce. reductions: seconds of a',
  "step's reductions when nothing else is done. waited: seconds of a step in which the process that waits least computes",
  'nothing because of them. overlapped: what is not waited for. Memory is that of all processes. HF sums in float32.',
];

/**
 * @param {BenchOptions} options
 * @param {Context} context
 * @param {BenchOptions['batches'][number]} batch of each process, and of all together in strong scaling
 * @returns {import('./runs.mjs').Benchmark}
 */
export function scalingBenchmark(options, context, batch) {
  const { nproc, reduceDtype, threads, dtype, shape, variant } = options;
  const { rows, length } = batch;
  /** @param {number} count */
  const lengthsOf = (count) => Array.from({ length: count }, () => length);
  const prepare = async () => {
    const { shared, frozen } = await stepJob(options, context, { ...options, batch }, STEPS);
    const job = { ...shared, shape, dtype, variant };
    const how = describeVariant(variant);
    /** @type {(role: Side['role'], name: string, lengths: number[], own: object) => Side} */
    const side = (role, name, lengths, own) => {
      const measure = () => ourBuild.worker({ ...job, ...own });
      return { name: `bertune${how}, ${name}`, role, dtype, lengths, measure };
    };
    const many = processes(nproc, threads);
    const all = { nproc, reduceDtype };
    const sides = [
      ...buildSides(
        context.builds,
        dtype,
        ({ worker }) => worker({ ...job, ...all }),
        `${how}, ${many}, ${rows} rows each`,
      ),
      side('one', `${processes(1, threads)}, ${rows} rows`, lengthsOf(rows), {}),
      side('apart', `${many} that sum nothing, ${rows} rows each`, lengthsOf(nproc * rows), { nproc }),
      side('strong', `${many}, ${rows / nproc} rows each`, lengthsOf(rows), { ...all, rows: rows / nproc }),
      side('threads', `${processes(1, nproc * threads)}, ${rows} rows`, lengthsOf(rows), {
        threads: nproc * threads,
      }),
      ...togetherSides(options, context, { ...shared, variant: { ...variant, frozen } }),
    ];
    return { about: '', shape, lengths: lengthsOf(nproc * rows), trains: true, sides };
  };
  return { title: `Step of ${rows} x ${length} tokens, ${nproc} processes`, prepare };
}

/**
 * @param {readonly import('./runs.mjs').Benchmark[]} benchmarks
 * @param {number} nproc
 * @param {readonly string[]} notes
 * @returns {import('./runs.mjs').Plan}
 */
export function scalingPlan(benchmarks, nproc, notes) {
  return {
    benchmarks,
    notes: [...notes, ...SCALING_NOTES],
    summarize: (results) => {
      const scaling = results.map((result) => ({
        title: result.title,
        ...scalingOf(result.runs ?? [], nproc),
      }));
      return { lines: [...scalingLines(scaling), ...failureLines(results)], figures: { scaling } };
    },
  };
}

/**
 * Each null where a side is not there.
 *
 * @param {readonly Run[]} runs
 * @param {number} nproc
 */
export function scalingOf(runs, nproc) {
  /** @param {Run['role']} role */
  const ofRole = (role) => runs.filter((run) => run.role === role);
  /** @type {(role: Run['role'], other: Run['role'], times: number) => Summary | null} of speeds */
  const over = (role, other, count) => {
    const [these, others] = [ofRole(role), ofRole(other)];
    if (these.length === 0 || others.length === 0) return null;
    const { median, min, max } = ratio(these, others, 'tokensPerSecond');
    return { median: median / count, min: min / count, max: max / count };
  };
  return {
    weak: over('ours', 'one', nproc),
    apart: over('apart', 'one', nproc),
    strong: over('strong', 'one', nproc),
    threads: over('strong', 'threads', 1) ?? over('ours', 'threads', 1),
    theirs: over('ours', 'eager', 1) ?? over('ours', 'best', 1),
  };
}

/** @param {readonly (ReturnType<typeof scalingOf> & { title: string })[]} all */
export function scalingLines(all) {
  const columns = /** @type {const} */ ([
    ['weak', 'weak scaling', percent],
    ['apart', 'without sums', percent],
    ['strong', 'strong scaling', percent],
    ['threads', 'to threads', times],
    ['theirs', 'to HF', times],
  ]);
  const used = columns.filter(([figure]) => all.some((each) => each[figure] !== null));
  const rows = all.map((each) => [
    each.title,
    ...used.map(([figure, , format]) => {
      const found = each[figure];
      return found === null ? '-' : withSpread(found, format);
    }),
  ]);
  return ['', ...table([['', ...used.map(([, words]) => words)], ...rows])];
}
