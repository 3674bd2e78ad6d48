// A typed array that grows by chunks: no copying, and no memory for values that are not there.

const CHUNK = 1 << 16;

type NumberArray = Uint8Array | Uint16Array | Uint32Array | Float32Array;

/** Numbers of one width, appended and read by index. */
export class GrowingArray {
  private readonly chunks: NumberArray[] = [];
  private count = 0;

  constructor(private readonly chunkType: new (length: number) => NumberArray) {}

  get length(): number {
    return this.count;
  }

  push(value: number): void {
    const at = this.count % CHUNK;
    if (at === 0) this.chunks.push(new this.chunkType(CHUNK));
    const chunk = this.chunks.at(-1);
    if (chunk !== undefined) chunk[at] = value;
    this.count++;
  }

  /** @throws RangeError when there is no such value */
  at(index: number): number {
    const value = index < this.count ? this.chunks[Math.floor(index / CHUNK)]?.[index % CHUNK] : undefined;
    if (value === undefined)
      throw new RangeError(`Expected an index from 0 to ${this.count - 1} but received ${index}`);
    return value;
  }
}
