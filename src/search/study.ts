// search.jsonl: what is searched on the first line, then one line for each trial that ended. A search goes on from it.
import { appendFile, readFile } from 'node:fs/promises';
import { z } from 'zod';

import { difference } from '../util/difference.js';
import { errorCode, UsageError } from '../util/errors.js';
import { readError, writeError } from '../util/file-errors.js';
import { writeFileAtomic } from '../util/files.js';
import type { Trial } from './trial.js';

/** What must be the same for a search to go on; values are compared as JSON. */
export type StudyHeader = Readonly<Record<string, unknown>>;

const report = z.object({
  step: z.number(),
  value: z
    .number()
    .nullable()
    .transform((value) => value ?? Number.NaN),
});
const trialLine = z.object({
  number: z.number().int(),
  params: z.record(z.string(), z.unknown()),
  state: z.enum(['complete', 'pruned', 'failed']),
  value: z.number().nullable(),
  reports: z.array(report),
  error: z.string().exactOptional(),
});

export class Study {
  readonly trials: Trial[];
  readonly #path: string;

  private constructor(path: string, trials: Trial[]) {
    this.#path = path;
    this.trials = trials;
  }

  /**
   * Begins a search, or goes on with the one in the file.
   *
   * @throws UsageError when the file is damaged or of another search, naming what differs
   */
  static async open(path: string, header: StudyHeader): Promise<Study> {
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return null;
      throw readError(error, path);
    });
    // A process that was killed while it wrote leaves a line without an end.
    const lines = text === null ? [] : text.split('\n').slice(0, -1);
    const [first, ...others] = lines;
    // Before its first trial a search may still be corrected.
    if (first !== undefined && others.length > 0)
      requireSameSearch(path, parseLine(first, `${path}:1`, z.record(z.string(), z.unknown())), header);
    const trials = others.map((line, i) => parseLine(line, `${path}:${i + 2}`, trialLine));
    const whole = [JSON.stringify(header), ...others];
    await writeFileAtomic(path, whole.map((line) => `${line}\n`).join(''));
    return new Study(path, trials);
  }

  async add(trial: Trial): Promise<void> {
    this.trials.push(trial);
    await appendFile(this.#path, `${JSON.stringify(trial)}\n`, { flush: true }).catch((error: unknown) => {
      throw writeError(error, this.#path);
    });
  }

  /** The complete trial with the best value, the first of equal ones; undefined while there is none. */
  best(greaterIsBetter: boolean): Trial | undefined {
    const sign = greaterIsBetter ? -1 : 1;
    const score = ({ value }: Trial): number =>
      value === null || Number.isNaN(value) ? Infinity : sign * value;
    const complete = this.trials.filter(({ state }) => state === 'complete');
    return complete.toSorted((a, b) => (score(a) === score(b) ? 0 : score(a) - score(b)))[0];
  }
}

function requireSameSearch(path: string, before: StudyHeader, now: StudyHeader): void {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const differing = keys.find((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]));
  if (differing === undefined) return;
  throw new UsageError(
    `${path} is of another search: ${difference(differing, before[differing], now[differing])}. Use another --output-dir.`,
  );
}

function parseLine<T>(line: string, place: string, schema: z.ZodType<T>): T {
  try {
    return schema.parse(JSON.parse(line));
  } catch {
    throw new UsageError(
      `${place}: this is not a line of a search. Remove the file, or use another --output-dir.`,
    );
  }
}
