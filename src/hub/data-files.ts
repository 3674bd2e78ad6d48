// Which files of a data set repository belong to which split, by the rules of Python's datasets (data_files.py).
import { UsageError } from '../util/errors.js';

/** Paths in the repository by split, each list sorted. */
export type SplitFiles = ReadonlyMap<string, readonly string[]>;

/** What bertune reads; on a draw the first of these wins, as in datasets. */
const FORMATS = [/\.parquet$/i, /\.jsonl?(\.gz|\.zst)?$/i, /\.[ct]sv(\.gz|\.zst)?$/i];

/** Characters of all patterns of a split times those of all paths: a few seconds at the worst. */
const MOST_WORK = 2e9;

const NO_DATA = new Set(['config.json', 'dataset_info.json', 'dataset_infos.json', 'dataset_dict.json']);

const KEYWORDS = new Map([
  ['train', 'train|training'],
  ['validation', 'validation|valid|dev|val'],
  ['test', 'test|testing|eval|evaluation'],
]);

/** The files of a listing that hold rows in a format bertune reads, sorted. */
export function dataPaths(paths: Iterable<string>): string[] {
  return [...paths].filter(holdsRows).toSorted();
}

function holdsRows(path: string): boolean {
  const parts = path.split('/');
  const hidden = parts.some((part) => part.startsWith('.') || part.startsWith('__'));
  return !hidden && !NO_DATA.has(parts.at(-1) ?? '') && FORMATS.some((format) => format.test(path));
}

/**
 * Splits as a card's `data_files` names them, with glob patterns. Splits without a file are left out.
 *
 * @throws UsageError for patterns and files that are too many to compare
 */
export function splitsByPattern(
  paths: readonly string[],
  globsBySplit: ReadonlyMap<string, readonly string[]>,
): SplitFiles {
  const splits = [...globsBySplit].map(([split, globs]): [string, string[]] => {
    const names = new Set(globs.filter((glob) => !hasMagic(glob)).map(relativePattern));
    const patterns = globs.filter(hasMagic);
    if (total(patterns) * total(paths) > MOST_WORK)
      throw new UsageError(`The patterns of split "${split}" are too many for ${paths.length} files`);
    const matchers = patterns.map(globMatcher);
    return [split, paths.filter((path) => names.has(path) || matchers.some((isMatch) => isMatch(path)))];
  });
  return oneFormat(splits);
}

function total(texts: readonly string[]): number {
  return texts.reduce((sum, text) => sum + text.length, 0);
}

/** Lists by their key, each in the order of the pairs. */
export function grouped(pairs: Iterable<readonly [string, string]>): Map<string, string[]> {
  const groups = new Map<string, string[]>();
  for (const [key, value] of pairs) {
    const group = groups.get(key);
    if (group === undefined) groups.set(key, [value]);
    else group.push(value);
  }
  return groups;
}

/**
 * Splits by the naming conventions, the first that applies: `data/<split>-00000-of-00001.parquet`, folders named
 * after a split, files named after a split, and else everything as `train`.
 */
export function splitsByConvention(paths: readonly string[]): SplitFiles {
  const rules: ((path: string) => string[])[] = [
    (path) => /^data\/(\w+(?:\.\w+)*)-\d{5}-of-\d{5}[^/]*\.[^/]*$/.exec(path)?.slice(1) ?? [],
    (path) => splitsNamedIn(path.split('/').slice(0, -1), '(?:[-._ 0-9].*)?$'),
    (path) => splitsNamedIn(path.split('/').slice(-1), '[-._ 0-9]'),
    () => ['train'],
  ];
  for (const rule of rules) {
    const splits = grouped(paths.flatMap((path) => rule(path).map((split) => [split, path] as const)));
    if (splits.size > 0) return oneFormat([...splits]);
  }
  return new Map();
}

/** The splits whose keyword is in one of the names, set off by separators; `after` is what must follow it. */
function splitsNamedIn(names: readonly string[], after: string): string[] {
  const named = [...KEYWORDS].filter(([, words]) => {
    const pattern = new RegExp(`^(?:.*[-._ 0-9])?(?:${words})${after}`);
    return names.some((name) => pattern.test(name));
  });
  return named.map(([split]) => split);
}

/** The same rows often lie there in several formats: only the one with the most files is read. */
function oneFormat(splits: readonly (readonly [string, readonly string[]])[]): SplitFiles {
  const all = splits.flatMap(([, paths]) => paths);
  const counts = FORMATS.map((format) => all.filter((path) => format.test(path)).length);
  const format = FORMATS[counts.indexOf(Math.max(...counts))];
  const kept = splits.map(([split, paths]): [string, string[]] => [
    split,
    paths.filter((path) => format?.test(path)),
  ]);
  return new Map(kept.filter(([, paths]) => paths.length > 0));
}

/** Matches one character, any number of them inside a folder, or any number of whole folders. */
type Token = { one: (character: string) => boolean } | { many: (character: string) => boolean } | 'folders';

/** Whether a pattern matches more than the path of the same name. */
function hasMagic(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

/** The pattern as fsspec takes it: without `/` and `./` at its start. */
function relativePattern(pattern: string): string {
  return pattern.replace(/^(\.?\/)+/, '');
}

/**
 * A test for whole paths. Patterns are those of data set cards (fsspec's glob): `*` and `?` stay inside a folder, `**` as a
 * whole part crosses folders, `[...]` is a set of characters. Cards come from outside, so no pattern becomes a regular
 * expression, whose time has no bound. Here it is at most pattern times path.
 */
export function globMatcher(pattern: string): (path: string) => boolean {
  const tokens = tokensOf(relativePattern(pattern));
  return (path) => matches(tokens, path);
}

const inFolder = (character: string): boolean => character !== '/';

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const parts = pattern.split('/');
  for (const [i, part] of parts.entries()) {
    const isLast = i === parts.length - 1;
    if (part === '**' && isLast) tokens.push({ one: () => true }, { many: () => true });
    else if (part === '**') tokens.push('folders');
    else {
      for (const token of partTokens(part)) tokens.push(token);
      if (!isLast) tokens.push(literal('/'));
    }
  }
  return tokens;
}

function partTokens(part: string): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < part.length;) {
    const character = part.charAt(i);
    // A ] right after the bracket, or after its negation, is one of the set.
    const end = character === '[' ? part.indexOf(']', i + (part.charAt(i + 1) === '!' ? 3 : 2)) : -1;
    if (end > 0) tokens.push({ one: setTest(part.slice(i + 1, end)) });
    else if (character === '*') {
      if (part.charAt(i - 1) !== '*') tokens.push({ many: inFolder });
    } else if (character === '?') tokens.push({ one: inFolder });
    else tokens.push(literal(character));
    i = end > 0 ? end + 1 : i + 1;
  }
  return tokens;
}

function literal(character: string): Token {
  return { one: (other) => other === character };
}

/** The test for `a-z_` or `!a-z_`. A range from high to low holds nothing, as in Python. */
function setTest(set: string): (character: string) => boolean {
  const isNegated = set.startsWith('!');
  const ranges: [string, string][] = [];
  for (let i = isNegated ? 1 : 0; i < set.length;) {
    const isRange = set.charAt(i + 1) === '-' && i + 2 < set.length;
    ranges.push([set.charAt(i), set.charAt(isRange ? i + 2 : i)]);
    i += isRange ? 3 : 1;
  }
  return (character) => ranges.some(([low, high]) => low <= character && character <= high) !== isNegated;
}

/** Goes through the path once, with the places in the pattern that are reached so far. */
function matches(tokens: readonly Token[], path: string): boolean {
  let reached = new Uint8Array(tokens.length + 1);
  let next = new Uint8Array(tokens.length + 1);
  reach(tokens, 0, true, reached);
  for (let i = 0; i < path.length; i++) {
    const character = path.charAt(i);
    next.fill(0);
    for (let place = reached.indexOf(1); place >= 0; place = reached.indexOf(1, place + 1)) {
      const token = tokens[place];
      if (token === undefined) continue;
      if (token === 'folders') reach(tokens, place, character === '/', next);
      else if ('one' in token && token.one(character)) reach(tokens, place + 1, character === '/', next);
      else if ('many' in token && token.many(character)) reach(tokens, place, character === '/', next);
    }
    [reached, next] = [next, reached];
    if (!reached.includes(1)) return false;
  }
  return reached[tokens.length] === 1;
}

/** Marks a place in the pattern, and those after it that need no further character. */
function reach(tokens: readonly Token[], from: number, atFolder: boolean, reached: Uint8Array): void {
  for (let place = from; reached[place] === 0; place++) {
    reached[place] = 1;
    const token = tokens[place];
    if (token === undefined || !(token === 'folders' ? atFolder : 'many' in token)) return;
  }
}
