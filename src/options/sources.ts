// Options as a person wrote them, each with where it stands: in a configuration file, on the command line or in a script.
import { readFile } from 'node:fs/promises';
import { extname } from 'node:path';
import { LineCounter, isMap, isScalar, parseDocument, visit, type Document, type Pair } from 'yaml';
import { UsageError, errorCode, messageOf, readFault } from '../util/errors.js';
import { kebabCase } from './option.js';

/** One option as written. */
export interface Entry {
  /** The name without dashes, to be looked up. */
  readonly written: string;
  /** The name as messages show it, e.g. `--learning-rate`. */
  readonly name: string;
  /** Before a message about the name: `run.json:3:5: `, or nothing. */
  readonly at: string;
  /** Before a message about the value. */
  readonly valueAt: string;
  readonly value: unknown;
  /** The value is text of a command line, still to be read as a number or a truth value. */
  readonly isText?: boolean;
}

/** Options of the command line, keyed by flag name in any case: text, lists of text, `true` for a bare flag. */
export function flagEntries(flags: Readonly<Record<string, unknown>>): Entry[] {
  return given(flags).map(([written, value]) => {
    const name = `--${kebabCase(written)}`;
    return { written, name, at: '', valueAt: '', value, isText: true };
  });
}

/** Options given by a script, as values. */
export function valueEntries(values: Readonly<Record<string, unknown>>): Entry[] {
  return given(values).map(([written, value]) => ({ written, name: written, at: '', valueAt: '', value }));
}

function given(values: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
}

/** A configuration file that has been read: its path, for messages, and its whole text. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
}

/**
 * Reads a configuration file. Paths inside it are not looked at: like those on the command line and as in Hugging
 * Face's scripts, they are relative to the folder in which the command runs.
 *
 * @throws UsageError when it is not a .json, .yaml or .yml file, or cannot be read as UTF-8 text
 */
export async function readConfigFile(path: string): Promise<ConfigFile> {
  if (!['.json', '.yaml', '.yml'].includes(extname(path).toLowerCase())) {
    throw new UsageError(
      `Expected a configuration file (.json, .yaml or .yml) but received ${path}; data is given with --train-file`,
    );
  }
  try {
    const bytes = await readFile(path);
    return { path, text: new TextDecoder('utf-8', { fatal: true }).decode(bytes) };
  } catch (error) {
    throw new UsageError(`Cannot read the configuration file ${path}: ${reason(error)}`, { cause: error });
  }
}

function reason(error: unknown): string {
  if (errorCode(error) === 'ERR_ENCODING_INVALID_ENCODED_DATA') return 'it is not UTF-8 text';
  return readFault(error) ?? messageOf(error);
}

/**
 * The entries of a configuration file in their order. One parser serves both formats, since YAML 1.2 contains JSON; a
 * file named `.json` must also keep to JSON's values, but may have comments (`#`) and a comma too many.
 *
 * @throws UsageError naming file, line and column when the text is not JSON or YAML, or not an object of options
 */
export function fileEntries(file: ConfigFile): Entry[] {
  const lines = new LineCounter();
  const document = parseDocument(file.text, { lineCounter: lines, prettyErrors: false, schema: 'core' });
  const isJson = file.path.toLowerCase().endsWith('.json');
  const at = (offset: number): string => {
    const { line, col } = lines.linePos(offset);
    return `${file.path}:${line}:${col}: `;
  };

  // First, since a forgotten comma or quote shows more clearly as a word that cannot stand there.
  if (isJson) checkJsonScalars(document, at);
  const [fault] = [...document.errors, ...document.warnings];
  if (fault)
    throw new UsageError(`${at(fault.pos[0])}not valid ${isJson ? 'JSON' : 'YAML'}: ${fault.message}`);
  if (!isMap(document.contents)) {
    throw new UsageError(`${at(0)}Expected an object of options, such as {"model": "bert-base-uncased"}`);
  }
  const { items } = document.contents;
  return items.flatMap((pair) => entry(pair, document, at));
}

function entry(pair: Pair, document: Document, at: (offset: number) => string): Entry[] {
  const { key, value } = pair;
  const place = at(isScalar(key) ? (key.range?.[0] ?? 0) : 0);
  if (!isScalar(key)) throw new UsageError(`${place}Expected the name of an option`);
  const name = String(key.value);
  const plain: unknown = hasToJS(value) ? value.toJS(document) : null;
  // HF writes null for an option that is not set.
  if (plain === null) return [];
  const valueAt = hasRange(value) ? at(value.range[0]) : place;
  return [{ written: name, name, at: place, valueAt, value: plain }];
}

/** YAML takes bare words as text, so that a forgotten quote or a // comment would pass; in JSON they are faults. */
function checkJsonScalars(document: Document, at: (offset: number) => string): void {
  visit(document, {
    Scalar(_key, node) {
      const source = (node.source ?? '').replaceAll(/\s+/g, ' ');
      if (node.type !== 'PLAIN' || /^(true|false|null|-?\d+(\.\d+)?([eE][+-]?\d+)?)$/.test(source)) return;
      const shown = source.length > 40 ? `${source.slice(0, 37)}...` : source;
      const hint = source.startsWith('//') ? '; a comment starts with #' : '';
      const what = 'Expected a quoted text, a number, true, false or null';
      throw new UsageError(
        `${at(node.range?.[0] ?? 0)}not valid JSON: ${what} but found ${shown || 'nothing'}${hint}`,
      );
    },
  });
}

function hasToJS(node: unknown): node is { toJS: (document: Document) => unknown } {
  return typeof node === 'object' && node !== null && 'toJS' in node && typeof node.toJS === 'function';
}

function hasRange(node: unknown): node is { range: [number, number, number] } {
  return typeof node === 'object' && node !== null && 'range' in node && Array.isArray(node.range);
}
