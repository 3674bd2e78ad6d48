// Reads JSON that other people wrote, within limits: JSON.parse itself takes any depth and any number of values, and the
// memory that they need is up to 35 times that of the text.
import { open, stat } from 'node:fs/promises';
import { messageOf, UsageError, readError } from './errors.js';
import { requireNoPointer } from './file-system.js';
import { oneLine } from './text.js';

export type JsonObject = Readonly<Record<string, unknown>>;

export function isObject(value: unknown): value is JsonObject {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}

/** The largest file that is read as a whole; tokenizer.json of the largest vocabularies has half of it. */
const MAX_BYTES = 32 * 2 ** 20;
/** What is out of a double's range, among others. */
const PERHAPS_HUGE = /\d[eE]\+?\d{3}|\d{309}/;

/**
 * Reads a file that has to fit in memory: a regular one of at most 32 MiB.
 *
 * @throws UsageError naming the file when it cannot be read, is a folder, a pipe or a device, too large, or a Git LFS pointer
 */
export async function readSmallFile(path: string): Promise<Buffer> {
  try {
    // Asked before opening: to open a pipe would wait for its writer.
    const { size } = await regularFile(path);
    const file = await open(path);
    try {
      // Not readFile, which reads for as long as there is something.
      const bytes = Buffer.alloc(size);
      const { bytesRead } = await file.read(bytes, 0, size, 0);
      requireNoPointer(bytes.subarray(0, bytesRead), path);
      return bytes.subarray(0, bytesRead);
    } finally {
      await file.close();
    }
  } catch (error) {
    throw readError(error, path);
  }
}

/**
 * Reads and parses a JSON file. Nesting deeper than 128 levels, more than a million values and numbers that no double
 * holds are refused.
 *
 * @throws UsageError naming the file when it cannot be read or is not JSON
 */
export async function readJson(path: string): Promise<unknown> {
  return parseJson(await readSmallFile(path), path);
}

/** @throws UsageError naming the file when the bytes are not JSON, or more of it than {@link readJson} allows */
export function parseJson(bytes: Buffer, path: string): unknown {
  const excess = jsonExcess(bytes);
  if (excess !== null) throw new UsageError(`${path} is not usable: ${excess}`);
  const text = bytes.toString('utf8');
  const value = parsed(text, path);
  if (PERHAPS_HUGE.test(text) && holdsInfinity(value))
    throw new UsageError(`${path} is not usable: it has a number that is out of range`);
  return value;
}

function parsed(text: string, path: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    throw new UsageError(`${path} is not valid JSON: ${oneLine(messageOf(error))}`);
  }
}

/** JSON.parse makes Infinity of what no double holds, and it would be saved as null; serde_json refuses it, too. */
function holdsInfinity(value: unknown): boolean {
  if (typeof value === 'object' && value !== null) return Object.values(value).some(holdsInfinity);
  return value === Infinity || value === -Infinity;
}

/** A number that is written with its point, as Python writes a float: 2.0, where JSON.stringify writes 2. */
export class Float {
  constructor(readonly value: number) {}

  toJSON(): string {
    return `${FLOAT_MARK}${this.value}${Number.isInteger(this.value) && Math.abs(this.value) < 1e21 ? '.0' : ''}`;
  }
}

/** JSON.stringify writes nothing but text for what has a form of its own; no text of a file begins so. */
const FLOAT_MARK = '\u0000float ';

/** A value as indented JSON. */
export function jsonText(value: unknown): string {
  return JSON.stringify(value, null, 2).replaceAll(/"\\u0000float (-?[\d.]+(?:e[+-]\d+)?)"(?=,?$)/gm, '$1');
}

async function regularFile(path: string): Promise<{ size: number }> {
  const stats = await stat(path);
  if (stats.isDirectory()) throw new UsageError(`${path} is a folder, not a file`);
  if (!stats.isFile()) throw new UsageError(`${path} is not a regular file`);
  if (stats.size > MAX_BYTES)
    throw new UsageError(`${path} has ${stats.size} bytes; such a file has at most ${MAX_BYTES}`);
  return stats;
}

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const COMMA = 0x2c;
const COLON = 0x3a;
const OPEN_ARRAY = 0x5b;
const CLOSE_ARRAY = 0x5d;
const OPEN_OBJECT = 0x7b;
const CLOSE_OBJECT = 0x7d;

/** As serde_json has it, with which Hugging Face's Rust packages read the same files. */
const MAX_DEPTH = 128;
/** Twice the largest vocabulary of a published BERT (LaBSE, 501,153 tokens); such a text takes up to 200 MB. */
const MAX_VALUES = 1_000_000;

/** Why JSON text is not to be parsed, seen without parsing it; null where nothing speaks against it. */
export function jsonExcess(json: Uint8Array): string | null {
  return surveyJson(json).excess;
}

/** As {@link jsonExcess}, with the members of all objects, of which those with a key given twice get lost in parsing. */
export function surveyJson(json: Uint8Array): { excess: string | null; members: number } {
  let members = 0;
  let depth = 0;
  let values = 0;
  for (let at = 0; at < json.length; at++) {
    const byte = json[at];
    if (byte === QUOTE) at = stringEnd(json, at + 1);
    else if (byte === COLON) members++;
    else if (byte === COMMA) values++;
    else if (byte === OPEN_ARRAY || byte === OPEN_OBJECT) {
      values++;
      if (++depth > MAX_DEPTH) return { excess: `it is nested deeper than ${MAX_DEPTH} levels`, members };
    } else if (byte === CLOSE_ARRAY || byte === CLOSE_OBJECT) depth--;
  }
  return { excess: values > MAX_VALUES ? `it has more than ${MAX_VALUES} values` : null, members };
}

/** Index of the quote that closes a string whose first character is at `from`, or the end. */
function stringEnd(json: Uint8Array, from: number): number {
  for (let at = from; at < json.length; at++) {
    if (json[at] === BACKSLASH) at++;
    else if (json[at] === QUOTE) return at;
  }
  return json.length;
}
