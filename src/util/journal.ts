// A file of JSON lines that a long run adds to: what the run is on the first line, then one line for each part that is
// done. The same run, started again, continues after them.
import { appendFile, readFile } from 'node:fs/promises';
import { z } from 'zod';

import { difference } from './text.js';
import { errorCode, UsageError, readError, writeError } from './errors.js';
import { writeFileAtomic } from './files.js';

/** What must be the same for a run to continue; values are compared as JSON. */
export type JournalHeader = Readonly<Record<string, unknown>>;

export class Journal<T> {
  /** In the order in which they were added. */
  readonly entries: T[];
  readonly path: string;
  /** What the first entry is written after; null once the file has it. */
  #before: readonly string[] | null;

  private constructor(path: string, entries: T[], before: readonly string[]) {
    this.path = path;
    this.entries = entries;
    this.#before = before;
  }

  /**
   * Starts a journal, or continues the one in the file. Nothing is written before the first entry.
   *
   * @param run.name what the run is called in messages, e.g. `search`
   * @throws UsageError when the file is damaged or of another run, naming what differs
   */
  static async open<T>(
    path: string,
    run: { name: string; header: JournalHeader; entry: z.ZodType<T> },
  ): Promise<Journal<T>> {
    const { name, header } = run;
    const text = await readFile(path, 'utf8').catch((error: unknown) => {
      if (errorCode(error) === 'ENOENT') return null;
      throw readError(error, path);
    });
    // A process that was killed while it wrote leaves a line without an end.
    const lines = text === null ? [] : text.split('\n').slice(0, -1);
    const [first, ...others] = lines;
    const parse = <L>(line: string, number: number, schema: z.ZodType<L>): L => {
      try {
        return schema.parse(JSON.parse(line));
      } catch {
        throw new UsageError(`${path}:${number}: this is not a line of a ${name}. ${REMEDY}`);
      }
    };
    // Before its first entry a run may still be corrected.
    if (first !== undefined && others.length > 0) {
      const before = parse(first, 1, z.record(z.string(), z.unknown()));
      const changed = firstDifference(before, header);
      if (changed !== undefined) throw new UsageError(`${path} is of another ${name}: ${changed}. ${REMEDY}`);
    }
    const entries = others.map((line, i) => parse(line, i + 2, run.entry));
    return new Journal(path, entries, [JSON.stringify(header), ...others]);
  }

  /** @throws RunError when the file cannot be written; the entry is not among `entries` then */
  async add(entry: T): Promise<void> {
    const line = JSON.stringify(entry);
    if (this.#before === null)
      await appendFile(this.path, `${line}\n`, { flush: true }).catch((error: unknown) => {
        throw writeError(error, this.path);
      });
    else await writeFileAtomic(this.path, [...this.#before, line, ''].join('\n'));
    this.#before = null;
    this.entries.push(entry);
  }
}

const REMEDY = 'Use another output folder, or remove the file.';

function firstDifference(before: JournalHeader, now: JournalHeader): string | undefined {
  const keys = [...new Set([...Object.keys(before), ...Object.keys(now)])];
  const differing = keys.find((key) => JSON.stringify(before[key]) !== JSON.stringify(now[key]));
  return differing === undefined ? undefined : difference(differing, before[differing], now[differing]);
}
