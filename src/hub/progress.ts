// The one line that says how far a download is. It goes to stderr: stdout is for results.

/** Told about each file as its bytes arrive. */
export interface DownloadProgress {
  /** `done` of `total` bytes of a file are on disk; `done === total` ends its line. */
  report(name: string, done: number, total: number): void;
  /** A remark that stays on the screen. */
  note(line: string): void;
}

/**
 * Progress as lines of text: rewritten in place on a terminal, every five seconds and at the end of a file elsewhere.
 *
 * @param sink receives whole lines; the default writes to stderr
 * @param quiet leaves out the progress but not the remarks
 */
export function createProgress(sink: ((line: string) => void) | undefined, quiet: boolean): DownloadProgress {
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
      const line = `Downloading ${name}: ${bytes(done)} of ${bytes(total)}, ${percent} %, ${bytes(rate)}/s`;
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
