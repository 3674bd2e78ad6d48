// A typed array that grows by chunks: no copying, and no memory for values that are not there.

const CHUNK = 1 << 16;
/** Of the first chunk, until it is full: most files that are opened are small. */
const FIRST = 1 << 10;

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
    if (at === 0 || this.count === FIRST) this.grow();
    const chunk = this.chunks.at(-1);
    if (chunk !== undefined) chunk[at] = value;
    this.count++;
  }

  private grow(): void {
    const grown = new this.chunkType(this.count === 0 ? FIRST : CHUNK);
    if (this.count === FIRST) grown.set(this.chunks.pop() ?? []);
    this.chunks.push(grown);
  }

  /** Replaces a value that is there. */
  set(index: number, value: number): void {
    const chunk = index < this.count ? this.chunks[Math.floor(index / CHUNK)] : undefined;
    if (chunk !== undefined) chunk[index % CHUNK] = value;
  }

  /** @throws RangeError when there is no such value */
  at(index: number): number {
    const value = index < this.count ? this.chunks[Math.floor(index / CHUNK)]?.[index % CHUNK] : undefined;
    if (value === undefined)
      throw new RangeError(`Expected an index from 0 to ${this.count - 1} but received ${index}`);
    return value;
  }
}
