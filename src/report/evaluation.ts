// What a report shows of an evaluation, gathered batch by batch while the metrics are: memory does not grow with the rows.
import type { PredictedBatch } from '../evaluation/predict.js';
import { goldOfRow } from '../predictions/errors.js';
import { entitiesOf, withPrefixes } from '../tasks/label-schemes.js';
import {
  binaryCrossEntropy,
  DEFAULT_THRESHOLD,
  sigmoid,
  softmaxRow,
  type Calibration,
  type MetricDetails,
  type Targets,
  type Task,
  maskedLm,
  multiLabel,
} from '../tasks/index.js';
import type { CalibrationBin, EvaluationFacts, WorstRow } from './facts.js';
import { shortened } from './html.js';

/** Wrong rows that are shown. */
const WORST = 50;
/** Characters of a text that are shown. */
const TEXT = 700;
const PROBABILITIES_SHOWN = 5;
/** As those of expected_calibration_error. */
const CALIBRATION_BINS = 15;
/** Labels with a curve; counting for all of thousands would take too much memory. */
const MOST_CURVES = 64;
const CURVES_SHOWN = 8;
const VALUES_SHOWN = 600;

/** Log odds are counted in steps of 1/32 from -16 to 16: between them the curve is not known, at them it is exact. */
const STEPS = 32;
const FURTHEST = 16;
const BINS = 2 * FURTHEST * STEPS;

/** Counts of one label, by the log odds that the model gave it. */
class ScoreCounts {
  readonly #positives = new Uint32Array(BINS);
  readonly #all = new Uint32Array(BINS);

  add(logOdds: number, isGold: boolean): void {
    const bin = Math.min(Math.max(Math.floor((logOdds + FURTHEST) * STEPS), 0), BINS - 1);
    this.#all[bin] = (this.#all[bin] ?? 0) + 1;
    if (isGold) this.#positives[bin] = (this.#positives[bin] ?? 0) + 1;
  }

  get support(): number {
    return this.#positives.reduce((sum, one) => sum + one, 0);
  }

  /** Recall, precision and threshold, from the highest threshold down, where something changes. */
  points(): [number, number, number][] {
    const { support } = this;
    const points: [number, number, number][] = [];
    let [hits, given] = [0, 0];
    for (let bin = BINS - 1; bin >= 0; bin--) {
      const all = this.#all[bin] ?? 0;
      if (all === 0) continue;
      hits += this.#positives[bin] ?? 0;
      given += all;
      points.push([hits / support, hits / given, sigmoid(bin / STEPS - FURTHEST)]);
    }
    return points;
  }
}

/** Takes every batch of an evaluation. */
export class EvaluationCollector {
  readonly #task: Task;
  readonly #calibration: Calibration;
  readonly #withTexts: boolean;
  readonly #counts: readonly ScoreCounts[];
  readonly #bins = Array.from({ length: CALIBRATION_BINS }, () => ({ rows: 0, confidence: 0, right: 0 }));
  readonly #values: [number, number, number][] = [];
  #valuesEvery = 1;
  #worst: WorstRow[] = [];
  #rows = 0;
  #wrong = 0;

  constructor(task: Task, calibration: Calibration, { withTexts }: { withTexts: boolean }) {
    this.#task = task;
    this.#calibration = calibration;
    this.#withTexts = withTexts;
    const hasCurves = task.kind.hasClasses && task.numLabels <= MOST_CURVES;
    this.#counts = Array.from({ length: hasCurves ? task.numLabels : 0 }, () => new ScoreCounts());
  }

  readonly add = (batch: PredictedBatch): void => {
    const { first, rows, logits, labels, examples } = batch;
    if (labels === undefined) return;
    if (this.#task.kind.unit === 'token') {
      this.#addTexts(batch, labels);
      return;
    }
    const { numLabels: width } = this.#task;
    const targets = labels.length / rows;
    this.#rows += rows;
    if (this.#task.problemType === maskedLm.problemType) return; // its rows are no texts, and its labels words
    for (let i = 0; i < rows; i++) {
      const own = logits.subarray(i * width, (i + 1) * width);
      const gold = labels.subarray(i * targets, (i + 1) * targets);
      if (gold instanceof Int32Array && gold[0] === -100) continue; // a row without a label
      if (!own.every(Number.isFinite)) continue; // the metrics tell
      const row: Row = { row: first + i, logits: own, gold };
      const loss = this.#task.kind.hasClasses ? this.#addClasses(row) : this.#addValues(row);
      if (loss !== null) this.#addWrong(row, loss, examples[i] ?? { text: '' });
    }
  };

  /** Counts tokens; what is shown as wrong are texts, with their entities. */
  #addTexts({ first, rows, logits, bounds, encodings, examples }: PredictedBatch, labels: Targets): void {
    const { numLabels: width, labels: names } = this.#task;
    this.#rows += rows;
    for (let row = 0; row < rows; row++) {
      const from = bounds[row] ?? 0;
      const seen: LabelledToken[] = [];
      let [loss, wrong] = [0, 0];
      for (let token = from; token < (bounds[row + 1] ?? 0); token++) {
        const gold = labels.subarray(token, token + 1);
        const own = logits.subarray(token * width, (token + 1) * width);
        const [start = 0, end = 0] = encodings[row]?.offsets?.subarray(2 * (token - from)) ?? [];
        const last = seen.at(-1);
        // What has no label belongs to the word before it.
        if (gold[0] === -100 && last !== undefined && end > 0) last.end = end;
        if (gold[0] === -100 || !own.every(Number.isFinite)) continue;
        const ownLoss = this.#addClasses({ row: first + row, logits: own, gold });
        const guess = names[softmaxRow(own).guess] ?? '';
        seen.push({ start, end, label: names[gold[0] ?? 0] ?? '', guess });
        loss += ownLoss ?? 0;
        wrong += ownLoss === null ? 0 : 1;
      }
      if (wrong === 0) continue;
      const { text = '' } = examples[row] ?? {};
      this.#keepIfWorst(loss / seen.length, () => ({
        row: first + row,
        ...(this.#withTexts && { text: shortened(text, TEXT) }),
        label: entitiesIn(text, seen, 'label', this.#withTexts),
        prediction: entitiesIn(text, seen, 'guess', this.#withTexts),
        probabilities: [],
      }));
    }
  }

  /** @param metrics of the evaluation by their names with `eval_` */
  facts(
    metrics: Readonly<Record<string, number>>,
    moreDetails: MetricDetails | null,
    { thresholds }: Calibration = this.#calibration,
  ): EvaluationFacts {
    const { labels, problemType, kind } = this.#task;
    const ids = new Map(labels.map((name, id) => [name, id]));
    const curves = this.#counts
      .map((counts, id) => ({ counts, id, support: counts.support }))
      .filter(({ support }) => support > 0)
      .toSorted((a, b) => b.support - a.support)
      .slice(0, CURVES_SHOWN)
      .map(({ counts, id }) => ({
        label: labels[id] ?? '',
        points: counts.points(),
        threshold: problemType === multiLabel.problemType ? (thresholds?.[id] ?? DEFAULT_THRESHOLD) : null,
      }));
    const confusion = Object.entries(moreDetails?.confusion_matrix ?? {}).flatMap(([label, guesses]) =>
      Object.entries(guesses).map(([guess, rows]): [number, number, number] => [
        ids.get(label) ?? 0,
        ids.get(guess) ?? 0,
        rows,
      ]),
    );
    const perClass = moreDetails?.tuned_per_class ?? moreDetails?.per_class;
    return {
      problemType,
      labels: [...labels],
      rows: this.#rows,
      metrics: { ...metrics },
      perClass:
        perClass === undefined
          ? null
          : Object.entries(perClass).map(([label, scores]) => Object.assign({ label }, scores)),
      confusion: moreDetails?.confusion_matrix === undefined ? null : confusion,
      curves,
      calibration: kind.hasClasses
        ? { bins: this.#bins.map(meanOf), temperature: this.#calibration.temperature ?? null }
        : null,
      values: kind.hasClasses ? null : this.#values,
      worst: this.#worst,
      wrongRows: this.#wrong,
    };
  }

  /** @returns the loss of a row that is predicted wrong, else null */
  #addClasses({ logits, gold }: Row): number | null {
    const task = this.#task;
    const { temperature = 1 } = this.#calibration;
    const isGold = new Set(task.classesOf(gold)[0]);
    if (task.problemType === multiLabel.problemType) {
      let isWrong = false;
      logits.forEach((logit, id) => {
        const threshold = this.#calibration.thresholds?.[id] ?? DEFAULT_THRESHOLD;
        if (sigmoid(logit) > threshold !== isGold.has(id)) isWrong = true;
        this.#counts[id]?.add(logit, isGold.has(id));
        this.#addConfidence(sigmoid(logit / temperature), isGold.has(id));
      });
      return isWrong ? meanOver(logits, (logit, id) => binaryCrossEntropy(logit, gold[id] ?? 0)) : null;
    }
    const { guess, confidence, logOdds, logSum } = softmaxRow(logits);
    this.#counts.forEach((counts, id) => counts.add(logOdds[id] ?? Number.NaN, isGold.has(id)));
    const tuned =
      temperature === 1 ? confidence : softmaxRow(logits.map((logit) => logit / temperature)).confidence;
    this.#addConfidence(tuned, isGold.has(guess));
    if (isGold.has(guess)) return null;
    if (gold instanceof Int32Array) return logSum - (logits[gold[0] ?? 0] ?? Number.NaN);
    return gold.reduce((loss, p, id) => loss + p * (logSum - (logits[id] ?? Number.NaN)), 0);
  }

  #addConfidence(confidence: number, isRight: boolean): void {
    const at = Math.min(Math.max(Math.ceil(confidence * CALIBRATION_BINS) - 1, 0), CALIBRATION_BINS - 1);
    const bin = this.#bins[at];
    if (bin === undefined) return;
    bin.rows += 1;
    bin.confidence += confidence;
    bin.right += isRight ? 1 : 0;
  }

  /** Every n-th row, with n doubled whenever there are too many. */
  #addValues({ row, logits, gold }: Row): number | null {
    if (row % this.#valuesEvery === 0)
      logits.forEach((value, id) => this.#values.push([id, gold[id] ?? Number.NaN, value]));
    if (this.#values.length > 2 * VALUES_SHOWN) {
      const width = logits.length;
      const kept = this.#values.filter((_, i) => Math.floor(i / width) % 2 === 0);
      this.#values.splice(0, Infinity, ...kept);
      this.#valuesEvery *= 2;
    }
    const error = meanOver(logits, (value, id) => (value - (gold[id] ?? Number.NaN)) ** 2);
    return error === 0 ? null : error;
  }

  #addWrong(
    { row, logits, gold }: Row,
    loss: number,
    { text, textPair }: { text: string; textPair?: string },
  ): void {
    this.#keepIfWorst(loss, () => {
      const { label: prediction, probabilities } = this.#task.decode(logits, this.#calibration);
      return {
        row,
        ...(this.#withTexts && { text: shortened(text, TEXT) }),
        ...(this.#withTexts && textPair !== undefined && { textPair: shortened(textPair, TEXT) }),
        label: goldOfRow(this.#task, gold),
        prediction,
        probabilities: Object.entries(probabilities)
          .toSorted(([, a], [, b]) => b - a)
          .slice(0, PROBABILITIES_SHOWN),
      };
    });
  }

  #keepIfWorst(loss: number, make: () => Omit<WorstRow, 'loss'>): void {
    this.#wrong += 1;
    const least = this.#worst.at(-1)?.loss ?? -Infinity;
    if (Number.isNaN(loss) || (this.#worst.length === WORST && loss <= least)) return;
    const found: WorstRow = { ...make(), loss };
    const at = this.#worst.findIndex((other) => other.loss < loss);
    this.#worst.splice(at === -1 ? this.#worst.length : at, 0, found);
    this.#worst.length = Math.min(this.#worst.length, WORST);
  }
}

interface Row {
  /** Its number in the data, from 0. */
  row: number;
  logits: Float32Array;
  gold: Int32Array | Float32Array;
}

/** A token with a label, and the end of what belongs to it. */
interface LabelledToken {
  start: number;
  end: number;
  label: string;
  guess: string;
}

/** The entities that labels make, each with its text where that may be shown. */
function entitiesIn(
  text: string,
  tokens: readonly LabelledToken[],
  by: 'label' | 'guess',
  withTexts: boolean,
): string[] {
  return entitiesOf(withPrefixes(tokens.map((token) => token[by]))).map(({ type, start, end }) => {
    const part = text.slice(tokens[start]?.start ?? 0, tokens[end - 1]?.end ?? 0).trim();
    return withTexts ? `${part} (${type})` : type;
  });
}

function meanOver(logits: Float32Array, lossOf: (logit: number, id: number) => number): number {
  return logits.reduce((sum, logit, id) => sum + lossOf(logit, id), 0) / logits.length;
}

function meanOf({ rows, confidence, right }: CalibrationBin): CalibrationBin {
  return rows === 0
    ? { rows, confidence, right }
    : { rows, confidence: confidence / rows, right: right / rows };
}
