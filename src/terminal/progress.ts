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

  /** Writes a line above the bar; on a terminal a long one is wrapped, indented. */
  line(text: string): void {
    this.#clear();
    const width = Math.min(widthOf(this.#out), LINE);
    const lines = printable(text).split('\n');
    const shown =
      this.#out.isTTY === true ? lines.flatMap((line) => wrapped(line.split(' '), ' ', width)) : lines;
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
      .filter(([name]) => !isDetail(name, details))
      .map(([name, value]) => `${name} ${shownValue(name, value)}`);
    const parts = [`step ${step}/${totalSteps}`, `epoch ${(epoch ?? 0).toFixed(2)}`, ...shown];
    for (const line of wrapped(parts, '  ', LINE)) this.line(line);
  }

  /** Redraws the bar, at most every tenth of a second. */
  bar(title: string, done: number, total: number, detail: string): void {
    if (this.#out.isTTY !== true || (this.#now() - this.#lastDraw < REDRAW_MS && done < total)) return;
    this.#lastDraw = this.#now();
    const filled = Math.round((done / total) * BAR_WIDTH);
    const bar = '#'.repeat(filled) + '-'.repeat(BAR_WIDTH - filled);
    const text = `${title} [${bar}] ${done}/${total}  ${detail}`;
    this.#out.write(`\r\u001b[K${text.slice(0, widthOf(this.#out) - 1)}`);
    this.#drawn = true;
  }

  /** Removes the bar. */
  end(): void {
    this.#clear();
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

/** Parts side by side, on as many lines as it takes; further lines are indented by two more than the first. */
function wrapped(parts: readonly string[], separator: string, width: number): string[] {
  const [first = '', ...others] = parts;
  const indent = `${/^ */.exec(parts.join(separator))?.[0] ?? ''}  `;
  const lines = [first];
  for (const part of others) {
    const last = lines.at(-1) ?? '';
    const longer = last + separator + part;
    if (longer.length <= width || last.trim() === '') lines[lines.length - 1] = longer;
    else lines.push(indent + part);
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

/** What stands behind the bar of a training: loss, learning rate, real tokens per second, time left. */
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
    ...(loss === undefined ? [] : [`loss ${formatNumber(loss)}`]),
    `lr ${formatNumber(learningRate)}`,
    `${Math.round(tokens / Math.max(seconds, 1e-3))} tok/s`,
    `${formatSeconds((seconds / Math.max(step, 1)) * (totalSteps - step))} left`,
  ].join('  ');
}
