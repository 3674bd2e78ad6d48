// The YAML at the head of a README.md: written so that readers of YAML 1.1 (Python) and 1.2 (JavaScript) find the same in it,
// and replaced key by key, so that what a person wrote there stays as it is, comments included.
import { isDeepStrictEqual } from 'node:util';
import { Document, isScalar, parse, Scalar, visit, type ScalarTag } from 'yaml';
import { isObject, type JsonObject } from '../util/json.js';

/** Python takes 5e-7 for a text; 5.0e-7 is a number everywhere. */
const numberForAll: ScalarTag = {
  tag: 'tag:yaml.org,2002:float',
  default: true,
  identify: (value) => typeof value === 'number',
  test: /^(?!)/, // only writes
  resolve: (text) => text,
  stringify: ({ value }) => String(value).replace(/^(-?\d+)e/, '$1.0e'),
};

/** Texts that need no quotes, but for words such as `no`, for which `compat` sees to them. */
const PLAIN = /^[A-Za-z][\w./+-]*(?: [\w.+-]+)*$/;

/** Keys and values as YAML, a line end after each. */
export function yamlText(entries: JsonObject): string {
  if (Object.keys(entries).length === 0) return '';
  const document = new Document(entries, {
    compat: 'yaml-1.1',
    customTags: (tags) => [numberForAll, ...tags],
    aliasDuplicateObjects: false,
  });
  visit(document, {
    Scalar(key, node) {
      if (key === 'key' || !isScalar(node) || typeof node.value !== 'string') return;
      node.type = PLAIN.test(node.value) ? Scalar.PLAIN : Scalar.QUOTE_DOUBLE;
    },
  });
  return document.toString({ lineWidth: 0, indentSeq: false });
}

/** The keys and values of a front matter; null where it is not an object of them. */
export function readYaml(text: string): JsonObject | null {
  try {
    const value: unknown = parse(text, { logLevel: 'error' });
    return isObject(value) ? value : null;
  } catch {
    return null;
  }
}

/** A key of the front matter with its lines, and the comments and empty lines before it. */
interface Block {
  key: string;
  before: string[];
  lines: string[];
}

const KEY = /^(?:"(?<double>[^"\\]+)"|'(?<single>[^']+)'|(?<plain>[^\s#"'-][^#]*?))[ \t]*:(?:[ \t]|$)/;
const ASIDE = /^[ \t]*(?:#|$)/;

function blocksOf(text: string): { blocks: Block[]; after: string[] } {
  const blocks: Block[] = [];
  let before: string[] = [];
  for (const line of text.replace(/\n$/, '').split('\n')) {
    const { double, single, plain } = KEY.exec(line)?.groups ?? {};
    const key = double ?? single ?? plain;
    const last = blocks.at(-1);
    if (key !== undefined) {
      blocks.push({ key, before, lines: [line] });
      before = [];
    } else if (ASIDE.test(line) || last === undefined) before.push(line);
    else {
      last.lines.push(...before, line); // those in between are of a value that goes on
      before = [];
    }
  }
  return { blocks, after: before };
}

/**
 * Puts new values in place of those that were generated before. What else the text has stays as it is, byte by byte.
 *
 * @param text a front matter without its dashes
 * @param generated the keys whose values may go
 * @param entries what is generated now; of a key that is the person's own, the person's value stays
 * @returns null where the text is laid out in a way that cannot be changed safely
 */
export function replaceEntries(
  text: string,
  generated: readonly string[],
  entries: JsonObject,
): { text: string; written: string[] } | null {
  const found = readYaml(text);
  if (found === null) return null;
  const isOwn = (key: string): boolean => key in found && !generated.includes(key);
  const written = Object.keys(entries).filter((key) => !isOwn(key));
  const own = Object.fromEntries(Object.entries(found).filter(([key]) => isOwn(key)));
  const { blocks, after } = blocksOf(text);
  const lines = blocks.flatMap(({ key, before, lines: old }) => {
    if (!generated.includes(key)) return [...before, ...old];
    const comments = [...before, ...old.filter((line) => /^[ \t]*#/.test(line))];
    return written.includes(key) ? [...comments, linesOf({ [key]: entries[key] })] : comments;
  });
  const added = written.filter((key) => !blocks.some((block) => block.key === key));
  const rest = added.map((key) => linesOf({ [key]: entries[key] }));
  const result = [...lines, ...rest, ...after].map((line) => `${line}\n`).join('');
  const expected = { ...own, ...Object.fromEntries(written.map((key) => [key, entries[key]])) };
  return isDeepStrictEqual(asJson(readYaml(result)), asJson(expected)) ? { text: result, written } : null;
}

function linesOf(entries: JsonObject): string {
  return yamlText(entries).replace(/\n$/, '');
}

/** Without what YAML has and JSON has not, such as -0. */
function asJson(value: unknown): unknown {
  return JSON.parse(JSON.stringify(value));
}
