// The check of exported files: the same rows through onnxruntime and through the model that was exported. Without rows of a person's
// own they are of random tokens, which is enough for the arithmetic, and for a file that lost all meaning in fewer bits.
import type { PackedBatch, SessionSpec } from '../native/index.js';
import { createMetrics, NOT_MASKED, type Targets, type Task } from '../tasks/index.js';
import { randomNumbers } from '../util/random.js';
import { counted } from '../util/text.js';
import {
  Comparison,
  isOfWords,
  logitsOf,
  WORD_SCORES,
  wordScores,
  type OnnxFigures,
  type Outputs,
} from './comparison.js';
import type { LastToken } from './encoder.js';
import { logitsAt, openOnnx, type OnnxRuntime, type OnnxSession, type Row } from './runtime.js';
import type { OnnxDtype } from './settings.js';

/** Rows of one batch are of several lengths, so that most are padded. */
const SHORT = [2, 3, 5, 8, 13, 21, 34, 55];
const LONGEST = 512;
/** Tokens of a row whose words are compared. */
const PLACES = 4;
/** Logits of a vocabulary that are computed at once: 256 MB. */
const MOST_LOGITS = 2 ** 26;

/** Beyond this share of the model's logits, by their Euclidean norms, a file's have little to do with them. */
const NEAR_CHANCE = 0.5;

/**
 * Rows with labels, as tokens: what the metrics of exported files are computed on.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, type OnnxValidationBatch } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('out');
 * const batch: OnnxValidationBatch = {
 *   encodings: ['What a film!', 'Two hours that I will not get back.'].map((text) => tokenizer.encode(text)),
 *   labels: Int32Array.of(1, 0),
 * };
 * ```
 */
export interface OnnxValidationBatch {
  readonly encodings: readonly Row[];
  /** As the model's task collates them. */
  readonly labels: Targets;
}

/** The model that files are compared with, and on what. */
export interface Checked {
  readonly spec: Pick<SessionSpec, 'encoder'>;
  readonly task: Task;
  readonly temperature: number;
  readonly lastToken: LastToken | undefined;
  /** As `Session.predict` gives them: logits [sequences * outputs], and scores of words of a masked language model. */
  predict(batch: PackedBatch): Promise<Float32Array>;
  /** Largest difference of logits in float32, as a share of the largest logit where that is above 1. */
  readonly tolerance: number;
  /** The rows, from the first one on in each call. */
  readonly validation?: (() => AsyncIterable<OnnxValidationBatch>) | undefined;
  /** Points of the task's main metric that a file may lose. */
  readonly maxMetricDrop: number;
}

/** What the check found of a file, and why it is not fit for use, if it is not. */
export interface Verdict {
  readonly figures: OnnxFigures;
  readonly refusal: string | null;
}

/** Rows of random tokens, with the logits of the model. */
interface Sample {
  readonly rows: readonly Row[];
  readonly logits: Float32Array;
}

/** Logits of the model, which files are compared with one after the other. */
export class Checker {
  readonly #runtime: OnnxRuntime;
  readonly #checked: Checked;
  readonly #outputs: Outputs;
  readonly #samples: readonly Sample[];
  /** What the model makes of the validation rows, batch by batch. */
  readonly #answers: readonly Float32Array[];
  /** The model's own; null without validation rows. */
  readonly metrics: Readonly<Record<string, number>> | null;

  private constructor(
    runtime: OnnxRuntime,
    checked: Checked,
    reference: {
      samples: readonly Sample[];
      answers: readonly Float32Array[];
      metrics: Checker['metrics'];
    },
  ) {
    this.#runtime = runtime;
    this.#checked = checked;
    this.#outputs = logitsOf(checked.task, checked.spec.encoder);
    this.#samples = reference.samples;
    this.#answers = reference.answers;
    this.metrics = reference.metrics;
  }

  /** Computes the logits of the model. */
  static async create(runtime: OnnxRuntime, checked: Checked): Promise<Checker> {
    const { task, spec, temperature, validation } = checked;
    const hasTypes = spec.encoder.embeddings.tokenTypes > 0;
    const { width } = logitsOf(task, spec.encoder);
    const predict = async (rows: readonly Row[], labels?: Targets): Promise<Float32Array> => {
      const batch = packed(rows, hasTypes);
      const own = await checked.predict(isOfWords(task) && labels ? { ...batch, labels } : batch);
      return temperature === 1 ? own : own.map((logit) => logit / temperature);
    };
    const samples: Sample[] = [];
    for (const rows of sampleBatches(checked)) {
      const own = await predict(rows);
      const starts = Array.from(packed(rows, false).cuSeqlens);
      samples.push({ rows, logits: isOfWords(task) ? logitsAt(own, rows, starts, width) : own });
    }
    const answers: Float32Array[] = [];
    const metrics = createMetrics(task);
    for await (const { encodings, labels } of validation?.() ?? []) {
      const own = await predict(encodings, labels);
      answers.push(own);
      metrics.add(own, labels, own.length / task.numLabels, boundsOf(task, encodings));
    }
    return new Checker(runtime, checked, {
      samples,
      answers,
      metrics: validation === undefined ? null : metrics.result(),
    });
  }

  /** Compares a file with the model. @throws RunError when onnxruntime cannot run it */
  async check(path: string, dtype: OnnxDtype): Promise<Verdict> {
    const session = await openOnnx(this.#runtime, path);
    try {
      const samples = await this.#sampled(session);
      const validated = await this.#validated(session);
      const comparisons = validated === undefined ? [samples] : [samples, validated.comparison];
      const figures = { ...(comparisons.at(-1) ?? samples).figures(), metrics: validated?.metrics ?? null };
      const refusal =
        dtype === 'fp32' ? this.#inexact(comparisons) : this.#unfit(comparisons, figures.metrics);
      return { figures, refusal };
    } finally {
      await session.close();
    }
  }

  /** How far logits of random tokens are from the model's, as a share of them. */
  async error(path: string): Promise<number> {
    const session = await openOnnx(this.#runtime, path);
    try {
      return (await this.#sampled(session)).relative;
    } finally {
      await session.close();
    }
  }

  async #sampled(session: OnnxSession): Promise<Comparison> {
    const samples = new Comparison(this.#outputs);
    for (const { rows, logits } of this.#samples) samples.add(logits, await session.predict(rows));
    return samples;
  }

  async #validated(
    session: OnnxSession,
  ): Promise<{ comparison: Comparison; metrics: Record<string, number> } | undefined> {
    const { validation, task } = this.#checked;
    if (validation === undefined) return undefined;
    const ofWords = isOfWords(task);
    const comparison = new Comparison(ofWords ? WORD_SCORES : this.#outputs);
    const metrics = createMetrics(task);
    let batch = 0;
    for await (const { encodings, labels } of validation()) {
      const theirs = ofWords
        ? await this.#wordScores(session, encodings, labels)
        : await session.predict(encodings);
      comparison.add(this.#answers[batch] ?? new Float32Array(), theirs);
      metrics.add(theirs, labels, theirs.length / task.numLabels, boundsOf(task, encodings));
      batch += 1;
    }
    return { comparison, metrics: metrics.result() };
  }

  /** Of the masked tokens. One text at a time: they have many logits. */
  async #wordScores(session: OnnxSession, rows: readonly Row[], labels: Targets): Promise<Float32Array> {
    const scores: number[] = [];
    let first = 0;
    for (const row of rows) {
      const own = labels.subarray(first, first + row.ids.length);
      const places = [...own.keys()].filter((place) => own[place] !== NOT_MASKED);
      const logits = await session.predict([{ ...row, places }]);
      const masked = own.filter((label) => label !== NOT_MASKED);
      scores.push(...wordScores(logits, masked, this.#outputs.width));
      first += row.ids.length;
    }
    return Float32Array.from(scores);
  }

  /** In float32 both compute the same. */
  #inexact(comparisons: readonly Comparison[]): string | null {
    const { tolerance } = this.#checked;
    const worst = comparisons.find(({ difference, largest }) => !(difference <= tolerance * largest));
    if (worst === undefined) return null;
    return `its logits differ from those of the model by up to ${worst.difference.toPrecision(2)}, more than ${tolerance * worst.largest}`;
  }

  /** In fewer bits it is a matter of degree. */
  #unfit(comparisons: readonly Comparison[], metrics: OnnxFigures['metrics']): string | null {
    const far = comparisons.find(({ relative }) => !(relative <= NEAR_CHANCE));
    if (far !== undefined)
      return Number.isFinite(far.relative)
        ? `its logits are near chance: they differ from those of the model by ${Math.round(100 * far.relative)} % of their size`
        : 'its logits are not numbers';
    if (metrics === null || this.metrics === null) return null;
    const name = this.#checked.task.kind.mainMetric;
    const [before = NaN, after = NaN] = [this.metrics[name], metrics[name]];
    const drop = 100 * (before - after);
    if (Number.isNaN(before) || drop <= this.#checked.maxMetricDrop) return null;
    return `${name} falls from ${before.toFixed(4)} to ${after.toFixed(4)}, by ${points(drop)}, more than ${points(this.#checked.maxMetricDrop)}`;
  }
}

/** Hundredths of a metric. */
function points(number: number): string {
  return counted(Number(number.toFixed(2)), 'point');
}

/** Ids at random: what they mean makes no difference to the arithmetic. */
function sampleBatches({ spec, task, lastToken }: Checked): Row[][] {
  const { vocab, tokenTypes, positions } = spec.encoder.embeddings;
  const most = Math.min(
    LONGEST,
    positions === null ? LONGEST : positions.rows - positions.first,
    ...(isOfWords(task) ? [Math.max(1, Math.floor(MOST_LOGITS / vocab / 2))] : []),
  );
  const random = randomNumbers(42);
  const below = (end: number): number => Math.floor(random() * end);
  const row = (length: number): Row => {
    const ids = Array.from({ length }, () => below(vocab));
    if (lastToken !== undefined) ids[length - 1] = lastToken.id; // as every text that is cut right
    const typeIds = Array.from({ length }, () => below(tokenTypes));
    return isOfWords(task)
      ? { ids, typeIds, places: Array.from({ length: PLACES }, () => below(length)) }
      : { ids, typeIds };
  };
  const short = SHORT.filter((length) => length < most);
  return [short, [most, Math.ceil(most / 2)]]
    .filter((lengths) => lengths.length > 0)
    .map((lengths) => lengths.map(row));
}

/** Where each text begins and the last ends, in rows of logits. */
function boundsOf({ kind }: Task, rows: readonly Row[]): Int32Array | undefined {
  return kind.unit === 'token' ? packed(rows, false).cuSeqlens : undefined;
}

function packed(rows: readonly Row[], hasTypes: boolean): PackedBatch {
  const cuSeqlens = new Int32Array(rows.length + 1);
  for (const [i, { ids }] of rows.entries()) cuSeqlens[i + 1] = (cuSeqlens[i] ?? 0) + ids.length;
  const tokens = cuSeqlens[rows.length] ?? 0;
  const [inputIds, tokenTypeIds] = [new Int32Array(tokens), new Int32Array(tokens)];
  for (const [i, { ids, typeIds }] of rows.entries()) {
    inputIds.set(ids, cuSeqlens[i]);
    if (typeIds !== null) tokenTypeIds.set(typeIds, cuSeqlens[i]);
  }
  return { inputIds, cuSeqlens, ...(hasTypes && { tokenTypeIds }) };
}
