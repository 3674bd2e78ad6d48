// Which class was taken for which, with one label a row.

/** Counts only the pairs that occur: never more entries than rows, even with thousands of classes. */
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
