// Labels by row in little memory: distinct names once, and two bytes for each label of a row; or four for each number.
import { GrowingArray } from '../util/growing-array.js';

/** More classes than this are taken for a mistake; it also bounds the memory of the label map. */
export const MAX_CLASSES = 10_000;

/** What the rows of a column hold; each row is added as names or as numbers. */
export class LabelStore {
  #names: string[] = [];
  readonly #codeOf = new Map<string, number>();
  #codes = new GrowingArray(Uint16Array);
  readonly #numbers = new GrowingArray(Float32Array);
  /** For rows with any number of names: where those of each row end. */
  #ends = new GrowingArray(Uint32Array);

  /** @param onTooMany what to throw for one name more than there may be */
  constructor(private readonly onTooMany: () => Error) {}

  /** Distinct names, in the order in which they came, and after `rename` perhaps several times. */
  get names(): readonly string[] {
    return this.#names;
  }

  /** Rows with one name, or with any number of names. */
  get rows(): number {
    return this.#ends.length > 0 ? this.#ends.length : this.#codes.length;
  }

  pushName(name: string): void {
    this.#codes.push(this.#code(name));
  }

  /** A row with any number of names. */
  pushNames(names: readonly string[]): void {
    const codes = names.map((name) => this.#code(name));
    for (const code of codes) this.#codes.push(code);
    this.#ends.push(this.#codes.length);
  }

  pushNumbers(numbers: readonly number[]): void {
    for (const number of numbers) this.#numbers.push(number);
  }

  /** Turns rows with one name each into rows with one number each. */
  becomeNumbers(): void {
    for (let row = 0; row < this.#codes.length; row++) this.#numbers.push(Number(this.nameAt(row)));
  }

  nameAt(row: number): string {
    return this.#names[this.#codes.at(row)] ?? '';
  }

  namesAt(row: number): string[] {
    const start = row === 0 ? 0 : this.#ends.at(row - 1);
    return Array.from({ length: this.#ends.at(row) - start }, (_, i) => this.nameAt(start + i));
  }

  numbersAt(row: number, width: number): number[] {
    return Array.from({ length: width }, (_, i) => this.#numbers.at(row * width + i));
  }

  /** Gives names other spellings, equal ones to several of them if need be; to be called after the last row. */
  rename(names: readonly string[]): void {
    this.#names = [...names];
  }

  /** Gives rows with one name others. */
  replaceName(row: number, name: string): void {
    this.#codes.set(row, this.#code(name));
  }

  /** Gives rows with any number of names others. */
  replaceNames(names: ReadonlyMap<number, readonly string[]>): void {
    const [codes, ends] = [this.#codes, this.#ends];
    this.#codes = new GrowingArray(Uint16Array);
    this.#ends = new GrowingArray(Uint32Array);
    let start = 0;
    for (let row = 0; row < ends.length; row++) {
      const end = ends.at(row);
      const replaced = names.get(row)?.map((name) => this.#code(name));
      const own = replaced ?? Array.from({ length: end - start }, (_, i) => codes.at(start + i));
      for (const code of own) this.#codes.push(code);
      this.#ends.push(this.#codes.length);
      start = end;
    }
  }

  /** How often each name occurs. */
  counts(): Map<string, number> {
    const byCode = this.#names.map(() => 0);
    for (let i = 0; i < this.#codes.length; i++) {
      const code = this.#codes.at(i);
      byCode[code] = (byCode[code] ?? 0) + 1;
    }
    const counts = new Map<string, number>();
    this.#names.forEach((name, code) => counts.set(name, (counts.get(name) ?? 0) + (byCode[code] ?? 0)));
    return counts;
  }

  #code(name: string): number {
    const known = this.#codeOf.get(name);
    if (known !== undefined) return known;
    const code = this.#names.length;
    if (code === MAX_CLASSES) throw this.onTooMany();
    this.#names.push(name);
    this.#codeOf.set(name, code);
    return code;
  }
}
