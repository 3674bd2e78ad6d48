// The log history as a file that grows with the run: JSON Lines or CSV, in the output folder.
import { appendFile } from 'node:fs/promises';
import { join } from 'node:path';

import { writeError } from '../../util/file-errors.js';
import { exists } from '../../util/exists.js';
import { writeFileAtomic } from '../../util/files.js';
import type { TrainerCallback, TrainerEvent } from '../callbacks.js';
import type { LogEntry } from '../state.js';

/** How entries become text. */
interface LogFormat {
  readonly file: string;
  /** The whole file. */
  all(entries: readonly LogEntry[]): string;
  /** What the newest entry adds to the file; null where the whole file must be written again. */
  next(entries: readonly LogEntry[]): string | null;
}

const jsonl: LogFormat = {
  file: 'log_history.jsonl',
  all: (entries) => entries.map(jsonLine).join(''),
  next: (entries) => entries.slice(-1).map(jsonLine).join(''),
};

/** One column for each name that an entry has had so far; a new name makes a new column. */
const csv: LogFormat = {
  file: 'log_history.csv',
  all(entries) {
    const columns = columnsOf(entries);
    return `${columns.map(quoted).join(',')}\n${entries.map((entry) => csvLine(entry, columns)).join('')}`;
  },
  next(entries) {
    const columns = columnsOf(entries);
    const isKnown = columns.length === columnsOf(entries.slice(0, -1)).length;
    return isKnown
      ? entries
          .slice(-1)
          .map((entry) => csvLine(entry, columns))
          .join('')
      : null;
  },
};

/** Keeps a file equal to the log history; a resumed run starts it again with what the checkpoint knew. */
export class LogFileCallback implements TrainerCallback {
  readonly #path: string;
  readonly #format: LogFormat;
  #isOpen = false;

  constructor(outputDir: string, format: 'jsonl' | 'csv') {
    this.#format = format === 'csv' ? csv : jsonl;
    this.#path = join(outputDir, this.#format.file);
  }

  async onTrainBegin({ state }: TrainerEvent): Promise<void> {
    await writeFileAtomic(this.#path, this.#format.all(state.log_history));
    this.#isOpen = true;
  }

  async onLog({ state }: TrainerEvent): Promise<void> {
    if (!this.#isOpen) return; // an evaluation before any training leaves the file of the last one alone
    const text = this.#format.next(state.log_history);
    // A file that is gone, with its folder perhaps, is written again.
    if (text === null || !(await exists(this.#path)))
      return writeFileAtomic(this.#path, this.#format.all(state.log_history));
    await appendFile(this.#path, text).catch((error: unknown) => {
      throw writeError(error, this.#path);
    });
  }
}

function jsonLine(entry: LogEntry): string {
  return `${JSON.stringify(entry)}\n`;
}

function columnsOf(entries: readonly LogEntry[]): string[] {
  const names = new Set(['step', 'epoch']);
  for (const entry of entries) for (const name of Object.keys(entry)) names.add(name);
  return [...names];
}

function csvLine(entry: LogEntry, columns: readonly string[]): string {
  return `${columns.map((name) => entry[name] ?? '').join(',')}\n`;
}

/** A metric may have the name of a label in its own. */
function quoted(name: string): string {
  return /[",\r\n]/.test(name) ? `"${name.replaceAll('"', '""')}"` : name;
}
