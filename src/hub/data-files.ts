// Which files of a data set repository belong to which split, by the rules of Python's datasets (data_files.py).
import { UsageError } from '../util/errors.js';
import { globMatcher, hasMagic, relativePattern } from './glob.js';

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
    return [split, paths.filter((path) => names.has(path) || matchers.some((matches) => matches(path)))];
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

/** The splits whose keyword stands in one of the names, set off by separators; `after` is what must follow it. */
function splitsNamedIn(names: readonly string[], after: string): string[] {
  const named = [...KEYWORDS].filter(([, words]) => {
    const pattern = new RegExp(`^(?:.*[-._ 0-9])?(?:${words})${after}`);
    return names.some((name) => pattern.test(name));
  });
  return named.map(([split]) => split);
}

/** The same rows often lie there in several formats: only the one with the most files is kept. */
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
