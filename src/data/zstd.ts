// The frames of zstd data (RFC 8878), followed without decompressing them, to bound the memory and the time that fzstd
// will take.

/** As the zstd tool has it without --long. */
const MAX_WINDOW = 128 * 2 ** 20;
/** Bytes moved in the window. Frames of 128 KiB blocks in the largest window stay below it for each byte they hold. */
const FREE_MOVES = 2 ** 32;
const MOVES_A_BYTE = 2048;
const MOST_BLOCK = 2 ** 17;
/** What a compressed block is taken to hold for each of its bytes: its header does not say. */
const EXPANSION = 64;
const MAGIC = 0xfd2fb528;

/** Follows frames from chunk to chunk. */
export class ZstdFrames {
  private header = Buffer.alloc(0);
  private passing = 0;
  private window = 0;
  private isInFrame = false;
  private checksum = 0;
  private moved = 0;
  private held = 0;

  /** @throws Error for a window that is too large, and blocks too small for theirs */
  push(chunk: Uint8Array): void {
    let at = 0;
    while (at < chunk.length) {
      const passed = Math.min(this.passing, chunk.length - at);
      this.passing -= passed;
      at += passed;
      if (at >= chunk.length) return;
      this.header = Buffer.concat([this.header, chunk.subarray(at, at + 1)]);
      at++;
      this.advance();
    }
  }

  /** Acts on a header as soon as it is whole. */
  private advance(): void {
    if (this.isInFrame) {
      if (this.header.length === 3) this.block(this.header.readUIntLE(0, 3));
      return;
    }
    if (this.header.length < 5) return;
    const magic = this.header.readUInt32LE(0);
    if ((magic & 0xfffffff0) >>> 0 === 0x184d2a50) {
      if (this.header.length === 8) this.pass(this.header.readUInt32LE(4));
    } else if (magic === MAGIC) this.frame();
    else throw new Error('invalid zstd data');
  }

  private frame(): void {
    const flags = this.header[4] ?? 0;
    const isSingle = (flags & 0x20) !== 0;
    const dictionary = [0, 1, 2, 4][flags & 3] ?? 0;
    const sizeBytes = [Number(isSingle), 2, 4, 8][flags >> 6] ?? 0;
    const length = 5 + Number(!isSingle) + dictionary + sizeBytes;
    if (this.header.length < length) return;
    const exponent = this.header[5] ?? 0;
    const base = 2 ** (10 + (exponent >> 3));
    this.window = isSingle
      ? sizeOf(this.header.subarray(length - sizeBytes, length))
      : base + (base / 8) * (exponent & 7);
    if (this.window > MAX_WINDOW)
      throw new Error(
        `its window of ${this.window} bytes is larger than 128 MiB; compress it again without --long`,
      );
    this.checksum = (flags & 4) === 0 ? 0 : 4;
    this.isInFrame = true;
    this.header = Buffer.alloc(0);
  }

  private block(head: number): void {
    const [isLast, type, size] = [head & 1, (head >> 1) & 3, head >> 3];
    this.moved += this.window;
    this.held += type === 2 ? Math.min(MOST_BLOCK, size * EXPANSION) : size;
    if (this.moved > FREE_MOVES + MOVES_A_BYTE * this.held)
      throw new Error('its blocks are too small for its window');
    this.pass((type === 1 ? 1 : size) + (isLast === 1 ? this.checksum : 0));
    this.isInFrame = isLast === 0;
  }

  private pass(bytes: number): void {
    this.passing = bytes;
    this.header = Buffer.alloc(0);
  }
}

function sizeOf(bytes: Uint8Array): number {
  const size = bytes.reduceRight((sum, byte) => sum * 256 + byte, 0);
  return bytes.length === 2 ? size + 256 : size;
}
