// A text on its way through the tokenizer, of which each unit knows the stretch of the original that it came from.

/** What takes the place of the text from `start` to before `end`; nothing is replaced where both are the same. */
export type Edit = readonly [start: number, end: number, replacement: string];

/** Places in the original text, in UTF-16 units: `original.slice(start, end)`. */
export type Span = readonly [start: number, end: number];

const MARKS = /^\p{M}+$/u;

export class AlignedText {
  readonly text: string;
  // By UTF-16 unit of `text`; neither ever falls.
  readonly #starts: Int32Array;
  readonly #ends: Int32Array;

  private constructor(text: string, starts: Int32Array, ends: Int32Array) {
    this.text = text;
    this.#starts = starts;
    this.#ends = ends;
  }

  static of(original: string): AlignedText {
    const starts = Int32Array.from({ length: original.length }, (_, at) => at);
    return new AlignedText(
      original,
      starts,
      starts.map((at) => at + 1),
    );
  }

  slice(start: number, end: number): AlignedText {
    return new AlignedText(
      this.text.slice(start, end),
      this.#starts.subarray(start, end),
      this.#ends.subarray(start, end),
    );
  }

  /** The same places with another text of the same length. */
  withUnits(text: string): AlignedText {
    if (text.length !== this.text.length) throw new RangeError('not the same length');
    return new AlignedText(text, this.#starts, this.#ends);
  }

  /**
   * All of a replacement comes from all of what it replaces. What is put in where nothing was comes from the character
   * after it, or before it at the end. Combining marks that are dropped belong to the character that they stood on, so
   * that what is cut out of the original keeps its accents; Rust leaves them out.
   *
   * @param edits in their order, without overlaps
   */
  edited(edits: readonly Edit[]): AlignedText {
    if (edits.length === 0) return this;
    const length = edits.reduce(
      (sum, [start, end, { length: added }]) => sum + added - (end - start),
      this.text.length,
    );
    const starts = new Int32Array(length);
    const ends = new Int32Array(length);
    const parts: string[] = [];
    let size = 0;
    let done = 0;
    const keep = (end: number): void => {
      parts.push(this.text.slice(done, end));
      starts.set(this.#starts.subarray(done, end), size);
      ends.set(this.#ends.subarray(done, end), size);
      size += end - done;
    };
    for (const [start, end, replacement] of edits) {
      keep(start);
      done = end;
      if (replacement === '') {
        const joins = size > 0 && ends[size - 1] === this.#starts[start];
        if (joins && MARKS.test(this.text.slice(start, end))) ends[size - 1] = this.#ends[end - 1] ?? 0;
        continue;
      }
      const [from, to] = start === end ? this.#spanAround(start) : this.span(start, end);
      starts.fill(from, size, size + replacement.length);
      ends.fill(to, size, size + replacement.length);
      parts.push(replacement);
      size += replacement.length;
    }
    keep(this.text.length);
    return new AlignedText(parts.join(''), starts, ends);
  }

  /** Where in the original the text from `start` to before `end` came from. */
  span(start: number, end: number): Span {
    return [this.#starts[start] ?? 0, this.#ends[end - 1] ?? 0];
  }

  #spanAround(at: number): Span {
    if (this.text === '') return [0, 0];
    const first = Math.min(at, this.text.length - 1);
    const isPair = (this.text.codePointAt(first) ?? 0) > 0xffff;
    return this.span(first, first + (isPair ? 2 : 1));
  }
}
