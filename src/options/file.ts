// A run's configuration file, JSON or YAML: its entries with the line and column of each, for messages.
import { LineCounter, isMap, isScalar, parseDocument, visit } from 'yaml';
import type { Document, Pair } from 'yaml';
import { UsageError } from '../util/errors.js';
import type { Entry } from './entries.js';

/** A configuration file that has been read: its path, for messages, and its whole text. */
export interface ConfigFile {
  readonly path: string;
  readonly text: string;
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
