// 20,000 steps of the tiny model: memory and step time stay flat, and no file, timer or thread is left open on the way. The
// figures are plotted in SOAK_REPORT (default: soak-report/) long-run.svg. SOAK_STEPS changes the length.
import { mkdirSync, readdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setFlagsFromString } from 'node:v8';
import { runInNewContext } from 'node:vm';
import t from 'tap';

import type { TrainerCallback } from '../../dist/index.js';
import { figure, svgOf, trendOf, type Series } from '../fixtures/plot.js';
import { toyRun } from '../fixtures/run.js';

const STEPS = Number(process.env['SOAK_STEPS'] ?? 20_000);
const REPORT = process.env['SOAK_REPORT'] ?? 'soak-report';
const SAMPLES = 200;
/** A part in which caches fill: malloc's arenas, and oneDNN's kernels, one for each shape of a batch that it has met. */
const WARM_UP = 0.5;

setFlagsFromString('--expose-gc');
const collectGarbage = runInNewContext('gc') as () => void;

/** Timers that were set and have neither run out nor been cleared, those included that keep no process alive. */
const timers = new Set<NodeJS.Timeout>();
for (const name of ['setTimeout', 'setInterval'] as const) {
  const original = globalThis[name];
  const counting = (...args: Parameters<typeof setTimeout>): NodeJS.Timeout => {
    const timer = original(...args);
    timers.add(timer);
    return timer;
  };
  Object.assign(globalThis, { [name]: Object.assign(counting, original) });
}

function liveTimers(): number {
  // A field of Node's own, without which there is no telling.
  for (const timer of timers) if (Reflect.get(timer, '_destroyed') === true) timers.delete(timer);
  return timers.size;
}

interface Sample {
  step: number;
  rss: number;
  heap: number;
  msPerStep: number;
  openFiles: number;
  timers: number;
  /** Of each kind, what would keep the process alive. */
  resources: Record<string, number>;
}

/** Looks at the process every so many steps. */
class Measuring implements TrainerCallback {
  readonly samples: Sample[] = [];
  readonly #every = Math.floor(STEPS / SAMPLES);
  #since = performance.now();

  onStepEnd({ state }: { state: { global_step: number } }): void {
    const { global_step: step } = state;
    if (step % this.#every !== 0) return;
    const msPerStep = (performance.now() - this.#since) / this.#every;
    collectGarbage();
    const { rss, heapUsed } = process.memoryUsage();
    const resources: Record<string, number> = {};
    for (const name of process.getActiveResourcesInfo()) resources[name] = (resources[name] ?? 0) + 1;
    const openFiles = readdirSync('/proc/self/fd').length;
    this.samples.push({
      step,
      rss: rss / 2 ** 20,
      heap: heapUsed / 2 ** 20,
      msPerStep,
      openFiles,
      timers: liveTimers(),
      resources,
    });
    this.#since = performance.now();
  }
}

await t.test(`${STEPS} steps`, { timeout: 0 }, async (t) => {
  const measuring = new Measuring();
  const rare = Math.floor(STEPS / 10);
  const { trainer, close } = await toyRun(
    t.testdir(),
    {
      maxSteps: STEPS,
      loggingSteps: Math.floor(STEPS / 40),
      evalStrategy: 'steps',
      evalSteps: rare,
      saveStrategy: 'steps',
      saveSteps: rare,
      saveTotalLimit: 2,
      reportTo: ['tensorboard', 'jsonl', 'csv'],
      dataloaderNumWorkers: 1,
      threads: 1,
    },
    { callbacks: [measuring], sizes: { train: 400, test: 100 } },
  );
  await trainer.train();
  await close();

  const warm = measuring.samples.filter(({ step }) => step > WARM_UP * STEPS);
  const series = (
    title: string,
    unit: string,
    of: (sample: Sample) => number,
  ): Series & { trend: ReturnType<typeof trendOf> } => {
    const points = measuring.samples.map((sample) => [sample.step, of(sample)] as const);
    const all = { title, unit, points, warmUntil: WARM_UP * STEPS };
    return { ...all, trend: trendOf(all) };
  };
  const rss = series('resident memory', 'MiB', (sample) => sample.rss);
  const heap = series('JavaScript heap after a collection', 'MiB', (sample) => sample.heap);
  const time = series('step time', 'ms', (sample) => sample.msPerStep);
  mkdirSync(REPORT, { recursive: true });
  writeFileSync(join(REPORT, 'long-run.svg'), svgOf([rss, heap, time]));
  writeFileSync(join(REPORT, 'long-run.json'), `${JSON.stringify(measuring.samples)}\n`);
  for (const { title, unit, trend } of [rss, heap, time])
    process.stderr.write(
      `  ${title}: median ${figure(trend.median)} ${unit}, growth over the second half ${figure(trend.growth)}, scatter ${figure(trend.scatter)}\n`,
    );
  process.stderr.write(`  plotted in ${join(REPORT, 'long-run.svg')}\n`);

  // Two per cent, or what is scatter: a process never gives back all that it had, nor is it ever the same.
  const flat = ({ trend }: typeof rss, share: number): boolean =>
    trend.growth <= Math.max(share * trend.median, 2 * trend.scatter);
  t.ok(flat(rss, 0.02), `memory grows by ${figure(rss.trend.growth)} MiB`);
  t.ok(flat(heap, 0.05), `the heap grows by ${figure(heap.trend.growth)} MiB`);
  t.ok(flat(time, 0.05), `a step takes ${figure(time.trend.growth)} ms more`);

  for (const [what, of] of [
    ['open files', (sample: Sample) => sample.openFiles],
    ['timers', (sample: Sample) => sample.timers],
  ] as const) {
    const counts = warm.map(of);
    const [then, now] = [Math.max(...counts.slice(0, 20)), Math.max(...counts.slice(-20))];
    t.ok(now <= then, `${what}: ${then} then, ${now} now`);
    process.stderr.write(`  ${what}: ${then} at most in the first samples, ${now} in the last\n`);
  }
  const kinds = new Set(warm.flatMap(({ resources }) => Object.keys(resources)));
  for (const kind of kinds) {
    const counts = warm.map(({ resources }) => resources[kind] ?? 0);
    const [then, now] = [Math.max(...counts.slice(0, 20)), Math.max(...counts.slice(-20))];
    t.ok(now <= Math.max(then, 1), `${kind}: ${then} then, ${now} now`);
  }
});
