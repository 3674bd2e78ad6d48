// A list of token ids that grows in place and is used again for the next text.

export class IdBuffer {
  #ids = new Int32Array(1024);
  #length = 0;

  get length(): number {
    return this.#length;
  }

  clear(): void {
    this.#length = 0;
  }

  append(ids: readonly number[]): void {
    this.#reserve(ids.length);
    const target = this.#ids;
    for (const id of ids) target[this.#length++] = id;
  }

  /** Appends `source[start]` to `source[end - 1]`. */
  appendRange(source: Int32Array, start: number, end: number): void {
    this.#reserve(end - start);
    const target = this.#ids;
    let at = this.#length;
    for (let index = start; index < end; index++) target[at++] = source[index] ?? 0;
    this.#length = at;
  }

  /** A view, valid until the next `append` or `clear`. */
  view(start: number, end: number): Int32Array {
    return this.#ids.subarray(start, end);
  }

  #reserve(count: number): void {
    const needed = this.#length + count;
    if (needed <= this.#ids.length) return;
    const grown = new Int32Array(Math.max(needed, this.#ids.length * 2));
    grown.set(this.#ids.subarray(0, this.#length));
    this.#ids = grown;
  }
}
