// What a person sees of a running training: one moving line on a terminal, plain lines elsewhere. On stderr only.
import { printable } from '../util/text.js';

/**
 * The part of a write stream that is used.
 *
 * @example
 * ```ts
 * import { Progress, type Terminal } from 'bertune';
 *
 * const lines: string[] = [];
 * const terminal: Terminal = { write: (text) => lines.push(text) };
 * const progress = new Progress(terminal);
 * ```
 */
export interface Terminal {
  readonly isTTY?: boolean;
  readonly columns?: number;
  write(text: string): unknown;
}

const REDRAW_MS = 100;
const BAR_WIDTH = 24;
/** The longest line of a log. */
const LINE = 100;

/**
 * A progress line on a terminal, and log lines above it; log lines alone elsewhere.
 *
 * @example
 * ```ts
 * import { Progress } from 'bertune';
 *
 * const silent = new Progress({ write: () => true });
 * silent.line('nobody sees this');
 * ```
 */
export class Progress {
  readonly #out: Terminal;
  readonly #now: () => number;
  #drawn = false;
  #lastDraw = 0;

  constructor(out: Terminal = process.stderr, now: () => number = () => performance.now()) {
    this.#out = out;
    this.#now = now;
  }

  /** Writes a line above the bar; on a terminal a long one is wrapped, indented, but for a command, which is to be copied. */
  line(text: string): void {
    this.#clear();
    const lines = printable(text).split('\n');
    const shown = this.#out.isTTY === true ? lines.flatMap((line) => wrapped(line, this.#width)) : lines;
    this.#out.write(`${shown.join('\n')}\n`);
  }

  /** Remarks on the log entry before. */
  mark(text: string): void {
    this.line(`  ${text}`);
  }

  /**
   * A log entry as one line, e.g. `step 500/1500  epoch 1.00  loss 0.3121  lr 4.4e-5  grad_norm 2.1`.
   *
   * @param details metrics of an evaluation that the line leaves out; the log history and the results have them all
   */
  entry(entry: Readonly<Record<string, number>>, totalSteps: number, details: readonly string[] = []): void {
    const { step, epoch, ...values } = entry;
    const shown = Object.entries(values)
      .filter(([name]) => !isDetail(name, details) && !('loss' in entry && OF_REPORTS.has(name)))
      .map(([name, value]) => `${name} ${shownValue(name, value)}`);
    const parts = [`step ${step}/${totalSteps}`, `epoch ${(epoch ?? 0).toFixed(2)}`];
    for (const line of wrapped([...parts, ...shown].join('  '), this.#width)) this.line(line);
  }

  /**
   * Redraws the bar, at most every tenth of a second.
   *
   * @param detail fields two spaces apart, the most useful first: on a narrow terminal the last are left out
   */
  bar(title: string, done: number, total: number, detail: string): void {
    if (this.#out.isTTY !== true || (this.#now() - this.#lastDraw < REDRAW_MS && done < total)) return;
    this.#lastDraw = this.#now();
    const filled = Math.round((done / total) * BAR_WIDTH);
    const bar = '#'.repeat(filled) + '-'.repeat(BAR_WIDTH - filled);
    const room = widthOf(this.#out) - 1;
    const fields = [`${title} [${bar}] ${done}/${total}`, ...detail.split('  ')];
    while (fields.length > 1 && fields.join('  ').length > room) fields.pop();
    this.#out.write(`\r\u001b[K${fields.join('  ').slice(0, room)}`);
    this.#drawn = true;
  }

  /** Removes the bar. */
  end(): void {
    this.#clear();
  }

  get #width(): number {
    return this.#out.isTTY === true ? Math.min(widthOf(this.#out), LINE) : LINE;
  }

  #clear(): void {
    if (this.#drawn) this.#out.write('\r\u001b[K');
    this.#drawn = false;
  }
}

/** Some terminals have no width, or one of 0. */
export function widthOf({ columns = 0 }: { readonly columns?: number }): number {
  return columns > 0 ? columns : 80;
}

/** What a log entry, a fold and a trial begin with; their parts, two spaces apart, are each a name and its value. */
const ENTRY = /^\w+ \d+\/\d+ {2}/;
const PARTS = / *(\S+(?: \S+)*)/g;
/** Words, and from its first word on a command, which a line break would make two. */
const WORDS = / *(\b(?:npm run|npx bertune) .*|\S+)/g;

/** A line as several that fit the width where their pieces do; further lines are indented by two more than the first. */
function wrapped(line: string, width: number): string[] {
  if (line.length <= width) return [line];
  const indent = `${/^ */.exec(line)?.[0] ?? ''}  `;
  const lines = [''];
  for (const [longer, piece = ''] of line.matchAll(ENTRY.test(line) ? PARTS : WORDS)) {
    const last = lines.at(-1) ?? '';
    if (last === '' || last.length + longer.length <= width) lines[lines.length - 1] = last + longer;
    else lines.push(indent + piece);
  }
  return lines;
}

/** One of several trainings: its lines and its bar carry its name, and its log entries are left out. */
export class TitledProgress extends Progress {
  readonly #shared: Progress;
  readonly #title: string;

  constructor(shared: Progress, title: string) {
    super();
    this.#shared = shared;
    this.#title = title;
  }

  override line(text: string): void {
    this.#shared.line(`${this.#title}: ${text}`);
  }

  override entry(): void {}

  override mark(): void {}

  override bar(title: string, done: number, total: number, detail: string): void {
    this.#shared.bar(`${this.#title}: ${title}`, done, total, detail);
  }

  override end(): void {
    this.#shared.end();
  }
}

/** What says how fast an evaluation was. */
const SPEED = ['runtime', 'samples', 'per_second'];

/** What an entry of the loss has for reports; of these the bar of the training has the figures. */
const OF_REPORTS = new Set(['num_input_tokens_seen', 'train_runtime']);

/** A metric of an evaluation, whatever data set its name names, that the line of a log entry leaves out. */
function isDetail(name: string, details: readonly string[]): boolean {
  return name.startsWith('eval_') && [...details, ...SPEED].some((metric) => name.endsWith(`_${metric}`));
}

/** A metric that its rows do not define is not available; a loss that is NaN went wrong and is shown as it is. */
function shownValue(name: string, value: number): string {
  const isMetric = name.startsWith('eval_') && !name.endsWith('loss');
  return isMetric && Number.isNaN(value) ? 'n/a' : formatNumber(value);
}

/** Four significant digits; exponents only for what is very small or large. */
export function formatNumber(value: number): string {
  if (Number.isInteger(value)) return String(value);
  const size = Math.abs(value);
  return size < 1e-3 || size >= 1e6 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
}

/** Seconds as 1:05:09 or 5:09. */
export function formatSeconds(seconds: number): string {
  const whole = Math.max(Math.round(seconds), 0);
  const [h, m, s] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60, whole % 60];
  const tail = `${String(m).padStart(h > 0 ? 2 : 1, '0')}:${String(s).padStart(2, '0')}`;
  return h > 0 ? `${h}:${tail}` : tail;
}

/** What stands behind the bar of a training: time left, loss, real tokens per second, learning rate. */
export function progressDetail(training: {
  state: {
    global_step: number;
    num_input_tokens_seen: number;
    log_history: readonly Readonly<Record<string, number>>[];
  };
  learningRate: number;
  seconds: number;
  totalSteps: number;
}): string {
  const { state, learningRate, seconds, totalSteps } = training;
  const { global_step: step, num_input_tokens_seen: tokens, log_history: history } = state;
  const loss = history.findLast((entry) => 'loss' in entry)?.['loss'];
  return [
    `${formatSeconds((seconds / Math.max(step, 1)) * (totalSteps - step))} left`,
    ...(loss === undefined ? [] : [`loss ${formatNumber(loss)}`]),
    `${Math.round(tokens / Math.max(seconds, 1e-3))} tok/s`,
    `lr ${formatNumber(learningRate)}`,
  ].join('  ');
}
