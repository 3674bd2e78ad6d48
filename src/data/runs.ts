// The encodings of a Parquet page in which a few bytes stand for many values: how many, before they are made.

/** A position in the bytes of a page. */
export class PageReader {
  constructor(
    readonly bytes: Uint8Array,
    public offset = 0,
  ) {}

  byte(): number {
    const byte = this.bytes[this.offset++];
    if (byte === undefined) throw new Error('a page ends in the middle');
    return byte;
  }

  /** Little-endian, 32 bits. */
  length(): number {
    return (this.byte() | (this.byte() << 8) | (this.byte() << 16) | (this.byte() << 24)) >>> 0;
  }

  varint(): number {
    let value = 0;
    for (let scale = 1; scale <= 2 ** 35; scale *= 128) {
      const byte = this.byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
    }
    throw new Error('a number in a page is too long');
  }
}

/**
 * Goes over a stream of runs and bit-packed groups.
 *
 * @throws Error where a run is longer than the values that are left
 */
export function checkRuns(page: PageReader, bitWidth: number, count: number): void {
  for (let seen = 0; seen < count;) {
    const head = page.varint();
    const isPacked = head % 2 === 1;
    const values = isPacked ? ((head - 1) / 2) * 8 : head / 2;
    if (!isPacked && values > count - seen) throw new Error('a run has more values than its page');
    page.offset += isPacked ? (values * bitWidth) / 8 : Math.ceil(bitWidth / 8);
    seen += values;
  }
}

/** The numbers of a stream of DELTA_BINARY_PACKED, 32 bits each, at most `count`. */
export function unpackDeltas(page: PageReader, count: number): Int32Array {
  const blockSize = page.varint();
  const miniblocks = page.varint();
  page.varint();
  const numbers = new Int32Array(count);
  let value = unZigzag(page.varint());
  if (count > 0) numbers[0] = value;
  const perMiniblock = blockSize / miniblocks;
  for (let at = 1; at < count;) {
    const smallest = unZigzag(page.varint());
    const widths = Array.from({ length: Math.min(miniblocks, page.bytes.length) }, () => page.byte());
    for (const width of widths) {
      if (at >= count) break;
      const end = page.offset + (perMiniblock * width) / 8;
      for (let i = 0; i < perMiniblock && at < count; i++) {
        value = (value + smallest + bitsAt(page.bytes, page.offset * 8 + i * width, width)) | 0;
        numbers[at++] = value;
      }
      page.offset = end;
    }
  }
  return numbers;
}

function bitsAt(bytes: Uint8Array, start: number, width: number): number {
  let value = 0;
  for (let bit = 0; bit < Math.min(width, 32); bit++) {
    const byte = bytes[(start + bit) >> 3];
    if (byte === undefined) throw new Error('a page ends in the middle');
    value |= ((byte >> ((start + bit) & 7)) & 1) << bit;
  }
  return value;
}

function unZigzag(value: number): number {
  return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
}
