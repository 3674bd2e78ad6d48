// The group column of a split: distinct values once, and their number for every row.
import { GrowingArray } from '../util/growing-array.js';

export class GroupColumn {
  readonly #numberOf = new Map<unknown, number>();
  readonly #numbers = new GrowingArray(Uint32Array);
  #groups = 0;

  push(value: unknown): void {
    const known = this.#numberOf.get(value);
    this.#numbers.push(known ?? this.#groups);
    if (known !== undefined) return;
    // A row without a value belongs to no other.
    if (value !== null && value !== undefined && value !== '') this.#numberOf.set(value, this.#groups);
    this.#groups += 1;
  }

  /** Rows with equal values have equal numbers. */
  at(row: number): number {
    return this.#numbers.at(row);
  }
}
