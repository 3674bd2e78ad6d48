// Thrift's compact protocol, in which Parquet's footer and page headers are written, with bounds on every length.
// hyparquet sees only what was read here before.

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
