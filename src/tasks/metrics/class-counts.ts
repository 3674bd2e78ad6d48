// Counts by class, and what follows from them: precision, recall, F1, agreement, the confusion matrix. Equal to scikit-learn.

export interface ClassScores {
  precision: number;
  recall: number;
  f1: number;
}

/** Of one class, or of several together. */
export interface Tally {
  /** Rows that have the label and were predicted to have it. */
  hits: number;
  predicted: number;
  labelled: number;
}

const SCORES = ['precision', 'recall', 'f1'] as const;

/** The metrics of `averagedScores`. */
export const averagedScoreNames = [
  'precision_macro',
  'precision_micro',
  'precision_weighted',
  'recall_macro',
  'recall_micro',
  'recall_weighted',
  'f1_macro',
  'f1_micro',
  'f1_weighted',
] as const;

/** Three counts a class. */
export class ClassCounts {
  readonly tallies: readonly Tally[];

  constructor(classes: number) {
    this.tallies = Array.from({ length: classes }, () => ({ hits: 0, predicted: 0, labelled: 0 }));
  }

  /** Counts rows that have the label `id`, that were predicted to have it, or both. */
  add(id: number, isPredicted: boolean, isLabelled: boolean, rows = 1): void {
    const tally = this.tallies[id];
    if (tally === undefined) return;
    if (isPredicted) tally.predicted += rows;
    if (isLabelled) tally.labelled += rows;
    if (isPredicted && isLabelled) tally.hits += rows;
  }

  /** The figures of every class. `support`: the rows that have the label. */
  byLabel(names: readonly string[]): Record<string, ClassScores & { support: number }> {
    return Object.fromEntries(
      this.tallies.map((tally, id) => [names[id] ?? '', { ...classScores(tally), support: tally.labelled }]),
    );
  }
}

/** 0 where there is nothing to find or nothing was found, as in scikit-learn. */
export function classScores({ hits, predicted, labelled }: Tally): ClassScores {
  return {
    precision: predicted === 0 ? 0 : hits / predicted,
    recall: labelled === 0 ? 0 : hits / labelled,
    f1: predicted + labelled === 0 ? 0 : (2 * hits) / (predicted + labelled),
  };
}

/** The mean over the classes (macro), over the labels of all rows (micro), and by the rows of each class (weighted). */
export function averagedScores(tallies: readonly Tally[]): Record<string, number> {
  const each = tallies.map(classScores);
  const support = sum(tallies, ({ labelled }) => labelled);
  const micro = classScores({
    hits: sum(tallies, ({ hits }) => hits),
    predicted: sum(tallies, ({ predicted }) => predicted),
    labelled: support,
  });
  const means = SCORES.flatMap((name) => {
    const weighted = sum(tallies, ({ labelled }, id) => labelled * (each[id]?.[name] ?? 0));
    return [
      [`${name}_macro`, sum(each, (scores) => scores[name]) / each.length],
      [`${name}_micro`, micro[name]],
      [`${name}_weighted`, support === 0 ? 0 : weighted / support],
    ] as const;
  });
  return Object.fromEntries(means);
}

/** The mean recall of the classes that have rows. */
export function balancedAccuracy(tallies: readonly Tally[]): number {
  const labelled = tallies.filter((tally) => tally.labelled > 0);
  return sum(labelled, (tally) => classScores(tally).recall) / labelled.length;
}

/** Matthews' correlation for any number of classes; 0 where one side is constant. */
export function matthewsCorrelation(tallies: readonly Tally[]): number {
  const { rows, hits, byChance } = agreement(tallies);
  const spread = (side: 'predicted' | 'labelled'): number =>
    rows ** 2 - sum(tallies, (tally) => tally[side] ** 2);
  const product = spread('predicted') * spread('labelled');
  return product === 0 ? 0 : (hits * rows - byChance) / Math.sqrt(product);
}

/** Cohen's kappa; NaN where both sides are the same constant. */
export function cohenKappa(tallies: readonly Tally[]): number {
  const { rows, hits, byChance } = agreement(tallies);
  return 1 - ((rows - hits) * rows) / (rows ** 2 - byChance);
}

/** With one label a row. `byChance` is the number of rows, squared, times the share of hits that chance would give. */
function agreement(tallies: readonly Tally[]): { rows: number; hits: number; byChance: number } {
  return {
    rows: sum(tallies, ({ labelled }) => labelled),
    hits: sum(tallies, ({ hits }) => hits),
    byChance: sum(tallies, ({ labelled, predicted }) => labelled * predicted),
  };
}

function sum<T>(items: readonly T[], valueOf: (item: T, index: number) => number): number {
  let total = 0;
  items.forEach((item, index) => (total += valueOf(item, index)));
  return total;
}

/** Which class was taken for which, with one label a row. Counts only the pairs that occur: never more entries than rows, even with thousands of classes. */
export class Confusion {
  private readonly counts = new Map<number, number>();

  constructor(private readonly classes: number) {}

  add(label: number, guess: number): void {
    const pair = label * this.classes + guess;
    this.counts.set(pair, (this.counts.get(pair) ?? 0) + 1);
  }

  /** By label, then by prediction. */
  *entries(): Generator<{ label: number; guess: number; rows: number }> {
    for (const [pair, rows] of [...this.counts].toSorted(([a], [b]) => a - b))
      yield { label: Math.floor(pair / this.classes), guess: pair % this.classes, rows };
  }

  /** `[label][prediction]` -> rows, by name, for the labels that rows have. */
  toObject(names: readonly string[]): Record<string, Record<string, number>> {
    const matrix = new Map<string, [string, number][]>();
    for (const { label, guess, rows } of this.entries()) {
      const name = names[label] ?? '';
      const row = matrix.get(name) ?? [];
      row.push([names[guess] ?? '', rows]);
      matrix.set(name, row);
    }
    return Object.fromEntries(Array.from(matrix, ([name, row]) => [name, Object.fromEntries(row)]));
  }
}
