// The encodings of a Parquet file in which a few bytes may stand for much: Thrift's compact protocol, in which its footer and
// page headers are written, and the runs and differences in its pages. All lengths are bounded; hyparquet sees only what was
// read here before.

export type ThriftValue = number | boolean | Uint8Array | ThriftValue[] | ThriftStruct;
export type ThriftStruct = Map<number, ThriftValue>;

/** Parquet's own structures are at most eight deep. */
const MAX_DEPTH = 20;
/** A footer of a million values takes 100 MB in memory. */
const MAX_VALUES = 1_000_000;

/** Reads structs one after another. */
export class ThriftReader {
  offset: number;
  readonly #bytes: Uint8Array;
  #valuesLeft = MAX_VALUES;

  constructor(bytes: Uint8Array, offset: number) {
    this.#bytes = bytes;
    this.offset = offset;
  }

  /** @throws Error for lengths beyond the bytes, too many values, and types that Parquet does not use */
  struct(depth = 0): ThriftStruct {
    if (depth > MAX_DEPTH) throw new Error('its metadata are nested too deep');
    const fields: ThriftStruct = new Map();
    let id = 0;
    for (let head = this.#byte(); (head & 0x0f) !== 0; head = this.#byte()) {
      id = head >> 4 === 0 ? this.#zigzag() : id + (head >> 4);
      fields.set(id, this.#value(head & 0x0f, depth));
    }
    return fields;
  }

  #value(type: number, depth: number): ThriftValue {
    if (--this.#valuesLeft < 0) throw new Error(`its metadata have more than ${MAX_VALUES} values`);
    if (type === 1 || type === 2) return type === 1;
    if (type === 3) return (this.#byte() << 24) >> 24;
    if (type >= 4 && type <= 6) return this.#zigzag();
    if (type === 7) return this.#skip(8).length;
    if (type === 8) return this.#skip(this.#varint());
    if (type === 9) return this.#list(depth);
    if (type === 12) return this.struct(depth + 1);
    throw new Error(`its metadata have a value of the unknown type ${type}`);
  }

  #list(depth: number): ThriftValue[] {
    const head = this.#byte();
    const size = head >> 4 === 15 ? this.#varint() : head >> 4;
    if (size > this.#bytes.length - this.offset)
      throw new Error('a list in its metadata is longer than they are');
    const type = head & 0x0f;
    const isBoolean = type === 1 || type === 2;
    return Array.from({ length: size }, () => this.#value(isBoolean ? 3 : type, depth + 1));
  }

  #skip(length: number): Uint8Array {
    if (length > this.#bytes.length - this.offset) throw new Error('its metadata end in the middle');
    this.offset += length;
    return this.#bytes.subarray(this.offset - length, this.offset);
  }

  #byte(): number {
    const byte = this.#bytes[this.offset++];
    if (byte === undefined) throw new Error('its metadata end in the middle');
    return byte;
  }

  /** As a double: exact where it matters, since what is above 2 ** 53 is above every limit, too. */
  #varint(): number {
    let value = 0;
    for (let scale = 1; ; scale *= 128) {
      const byte = this.#byte();
      value += (byte & 0x7f) * scale;
      if (byte < 0x80) return value;
      if (scale > 2 ** 63) throw new Error('a number in its metadata is too long');
    }
  }

  #zigzag(): number {
    const value = this.#varint();
    return value % 2 === 0 ? value / 2 : -(value + 1) / 2;
  }
}

/** A number of a struct; NaN where there is none. */
export function numberOf(struct: ThriftStruct | undefined, field: number): number {
  const value = struct?.get(field);
  return typeof value === 'number' ? value : Number.NaN;
}

/** A struct in a struct. */
export function structOf(struct: ThriftStruct, field: number): ThriftStruct | undefined {
  const value = struct.get(field);
  return value instanceof Map ? value : undefined;
}

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
 * @param counted a value of which it is asked how many there are
 * @returns how many there are; without `counted` always 0
 * @throws Error where a run is longer than the values that are left, or the page ends within one
 */
export function checkRuns(page: PageReader, bitWidth: number, count: number, counted?: number): number {
  let found = 0;
  for (let seen = 0; seen < count;) {
    const head = page.varint();
    const isPacked = head % 2 === 1;
    const values = isPacked ? ((head - 1) / 2) * 8 : head / 2;
    if (!isPacked && values > count - seen) throw new Error('a run has more values than its page');
    if (counted !== undefined) {
      if (isPacked) found += packedEqual(page, bitWidth, Math.min(values, count - seen), counted);
      else if (bitsAt(page.bytes, page.offset * 8, bitWidth) === counted) found += values;
    }
    page.offset += isPacked ? (values * bitWidth) / 8 : Math.ceil(bitWidth / 8);
    seen += values;
  }
  return found;
}

function packedEqual(page: PageReader, bitWidth: number, values: number, counted: number): number {
  let found = 0;
  const start = page.offset * 8;
  for (let i = 0; i < values; i++)
    if (bitsAt(page.bytes, start + i * bitWidth, bitWidth) === counted) found++;
  return found;
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
