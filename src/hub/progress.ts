// The lines and errors of a download or an upload, without the access token: the hub was sent it, and may put it into what it answers.
import { messageOf, RunError, UsageError } from '../util/errors.js';
import type { HubSettings } from './settings.js';

/** Progress of each file as its bytes arrive, or leave. */
export interface DownloadProgress {
  /** `done` of `total` bytes of a file are there; `done === total` ends its line. */
  report(name: string, done: number, total: number): void;
  /** A remark that stays on the screen. */
  note(line: string): void;
}

/**
 * Progress as lines of text: rewritten in place on a terminal, every five seconds and at the end of a file elsewhere.
 *
 * @param sink receives whole lines; the default writes to stderr
 * @param quiet leaves out the progress but not the remarks
 * @param verb what happens to a file
 */
function createProgress(
  sink: ((line: string) => void) | undefined,
  quiet: boolean,
  verb: string,
): DownloadProgress {
  const inPlace = sink === undefined && process.stderr.isTTY;
  const print = sink ?? ((line: string) => void process.stderr.write(`${line}\n`));
  let current = '';
  let startedAt = 0;
  let startedFrom = 0;
  let shownAt = 0;
  return {
    note: print,
    report(name, done, total) {
      if (quiet) return;
      const now = performance.now();
      if (name !== current) [current, startedAt, startedFrom, shownAt] = [name, now, done, now];
      const finished = done === total;
      if (!finished && now - shownAt < (inPlace ? 100 : 5000)) return;
      shownAt = now;
      const rate = ((done - startedFrom) / Math.max(now - startedAt, 1)) * 1000;
      const percent = total === 0 ? 100 : Math.floor((100 * done) / total);
      const line = `${verb} ${name}: ${bytes(done)} of ${bytes(total)}, ${percent} %, ${bytes(rate)}/s`;
      if (inPlace) process.stderr.write(`\r${line}\x1b[K${finished ? '\n' : ''}`);
      else print(line);
      if (finished) current = '';
    },
  };
}

function bytes(count: number): string {
  if (count < 1e3) return `${Math.round(count)} B`;
  const [scale, unit] = count < 1e6 ? [1e3, 'kB'] : count < 1e9 ? [1e6, 'MB'] : [1e9, 'GB'];
  return `${(count / scale).toFixed(1)} ${unit}`;
}

/** Shorter tokens are words (`anonymous`) that some mirrors take, and that names of files may well contain. */
const SHORTEST_SECRET = 12;

/** Whether a name that came from the hub has the token in it. */
export function showsToken(text: string, settings: HubSettings): boolean {
  return tokenPattern(settings)?.test(text) ?? false;
}

/** The token wherever it stands, in capitals or not, since addresses are shown in small letters. */
function tokenPattern({ token }: HubSettings): RegExp | null {
  if (token === null || token.length < SHORTEST_SECRET) return null;
  return new RegExp(token.replaceAll(/[^\w]/g, String.raw`\$&`), 'gi');
}

/**
 * Runs a task of which neither lines of progress nor errors show the token.
 *
 * @param sink receives the lines; default: stderr
 */
export async function concealingToken<T>(
  settings: HubSettings,
  sink: ((line: string) => void) | undefined,
  task: (progress: DownloadProgress) => Promise<T>,
  verb = 'Downloading',
): Promise<T> {
  const progress = createProgress(sink, settings.quiet, verb);
  const conceal = (text: string): string => {
    const secret = tokenPattern(settings);
    return secret === null ? text : text.replaceAll(secret, '***');
  };
  try {
    return await task({
      note: (line) => progress.note(conceal(line)),
      report: (name, done, total) => progress.report(conceal(name), done, total),
    });
  } catch (error) {
    const message = messageOf(error);
    if (conceal(message) === message) throw error;
    // A new error, since the stack of the old one shows its message.
    throw error instanceof UsageError ? new UsageError(conceal(message)) : new RunError(conceal(message));
  }
}
