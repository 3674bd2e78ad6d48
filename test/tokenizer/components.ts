// Every component and setting of a tokenizer.json: the ids of Rust's tokenizers, or a refusal that names what cannot be
// done. The fixture comes from scripts/reference/tokenizer_components.py.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { Tokenizer, type EncodeOptions } from '../../dist/tokenizer/index.js';
import { longestFirst } from '../../dist/tokenizer/sequence-encoder.js';

interface Case {
  group: 'normalizer' | 'pre_tokenizer' | 'post_processor' | 'added_tokens' | 'model';
  name: string;
  parts: Record<string, unknown>;
  /** What Rust says of the file; without it `lines`, null for a text that Rust refuses. */
  error?: string;
  lines?: (number[] | null)[];
  pairs?: { ids: number[]; types: number[] }[];
}
interface Fixture {
  alphabet: string;
  end: string;
  lines: string[];
  model_lines: string[];
  pairs: [string, string][];
  cases: Case[];
}

const ROOT = join(import.meta.dirname, '../..');
const fixture = JSON.parse(
  readFileSync(join(ROOT, 'test/fixtures/tokenizer-components.json'), 'utf8'),
) as Fixture;

/** What is refused although Rust takes it; docs/tokenizers.md has the same list. */
const REFUSED: Record<string, RegExp> = {
  'Replace another pattern': /normalizer has the regular expression "\[aeiou\]"/,
  'Split another pattern': /pre_tokenizer has the regular expression "\[aeiou\]"/,
  UnicodeScripts: /pre_tokenizer cannot be used: unknown type "UnicodeScripts"/,
  'Sequence of two ByteLevel': /ByteLevel stands twice/,
  'TemplateProcessing A twice (post_processor)': /post_processor.single: expected the texts A, each once/,
  'TemplateProcessing type 2 (post_processor)': /post_processor.pair.1.Sequence.type_id/,
  'Sequence of two that place tokens (post_processor)': /expected one that places special tokens/,
  'BPE dropout': /BPE with dropout gives other ids each time/,
};

const characters = Array.from(fixture.alphabet).flatMap((character) => [character, character + fixture.end]);
const model = {
  type: 'BPE',
  unk_token: '<unk>',
  end_of_word_suffix: fixture.end,
  vocab: Object.fromEntries(['<unk>', ...characters].map((token, id) => [token, id])),
  merges: [],
};

function tokenizerOf({ parts }: Case): Tokenizer {
  return Tokenizer.fromSpec({ tokenizerJson: { model, ...parts }, tokenizerConfig: {} });
}

function idsOf(tokenizer: Tokenizer, text: string, options: EncodeOptions = {}): number[] | null {
  try {
    return [...tokenizer.encode(text, undefined, options).ids];
  } catch {
    return null;
  }
}

for (const group of ['normalizer', 'pre_tokenizer', 'post_processor', 'added_tokens', 'model'] as const) {
  await t.test(group, (t) => {
    for (const one of fixture.cases.filter((each) => each.group === group)) {
      const refusal = REFUSED[one.name];
      if (refusal !== undefined || one.lines === undefined) {
        t.throws(
          () => tokenizerOf(one),
          { name: 'UsageError', message: refusal ?? /cannot be used/ },
          one.name,
        );
        continue;
      }
      const tokenizer = tokenizerOf(one);
      const lines = group === 'model' ? fixture.model_lines : fixture.lines;
      const found = lines.map((line) => ({ line, ids: idsOf(tokenizer, line) }));
      const expected = lines.map((line, index) => ({ line, ids: one.lines?.[index] ?? null }));
      const differs = found.filter(
        ({ ids }, index) => JSON.stringify(ids) !== JSON.stringify(expected[index]?.ids),
      );
      const wanted = expected.filter(({ line }) => differs.some((other) => other.line === line));
      t.same(differs, wanted, one.name);
      for (const [index, pair] of (one.pairs ?? []).entries()) {
        const { ids, typeIds } = tokenizer.encode(...(fixture.pairs[index] ?? ['', '']));
        t.same([...ids], pair.ids, `${one.name}, pair ${index}`);
        t.same([...(typeIds ?? pair.ids.map(() => 0))], pair.types, `${one.name}, types of pair ${index}`);
      }
    }
    t.end();
  });
}

await t.test('docs/tokenizers.md has them all', (t) => {
  const docs = readFileSync(join(ROOT, 'docs/tokenizers.md'), 'utf8');
  const rows = docs.split('\n').filter((line) => line.startsWith('|'));
  const names = (value: unknown): string[] =>
    typeof value === 'object' && value !== null
      ? Object.entries(value).flatMap(([key, item]) =>
          key === 'type' ? String(item) : key === 'vocab' ? [] : names(item),
        )
      : [];
  const rowsOf = (type: string): string[] =>
    rows.filter((line) => new RegExp(`^\\|[^|]*\\b${type}\\b`).test(line));
  for (const type of new Set(fixture.cases.flatMap(({ parts }) => names(parts))))
    t.not(rowsOf(type).length, 0, type);
  const refused = fixture.cases.filter(({ name }) => REFUSED[name] !== undefined);
  t.equal(refused.length, Object.keys(REFUSED).length);
  for (const { name, parts } of refused)
    t.ok(
      names(parts).some((type) => rowsOf(type).some((row) => row.includes('refused'))),
      name,
    );
  t.end();
});

/** Long texts without white space, and ordinary ones. */
const LONG = [
  Array.from({ length: 3000 }, (_, index) => 'abcdexy12é'[(index * index * 7 + (index >> 3)) % 10]).join(''),
  'ab1'.repeat(700),
  'a'.repeat(900),
  fixture.lines.join(''),
  `${fixture.lines.join(' ')} ${'東京👧'.repeat(300)}`,
  fixture.model_lines.join(' ').repeat(20),
  `${'é'.repeat(300)}ab${'é'.repeat(5)}abc`,
];

await t.test('a cut text has the first or last ids of the whole', (t) => {
  for (const one of fixture.cases.filter(
    ({ name, lines }) => lines !== undefined && REFUSED[name] === undefined,
  )) {
    const spec = tokenizerOf(one).spec;
    for (const side of ['left', 'right'] as const) {
      const tokenizer = Tokenizer.fromSpec({ ...spec, tokenizerConfig: { truncation_side: side } });
      const differs = LONG.flatMap((text) => {
        const whole = idsOf(tokenizer, text, { addSpecialTokens: false });
        if (whole === null) return [];
        return [1, 2, 3, 40, 125, 600].filter((maxLength) => {
          const kept = side === 'left' ? whole.slice(-maxLength) : whole.slice(0, maxLength);
          const found = idsOf(tokenizer, text, { addSpecialTokens: false, maxLength });
          return JSON.stringify(found) !== JSON.stringify(kept);
        });
      });
      t.same(differs, [], `${one.name}, ${side}`);
    }
  }
  t.end();
});

await t.test('of a pair the longer text gives way first, whatever was tokenized', (t) => {
  const words = (count: number): string => 'ab '.repeat(count);
  for (const side of ['left', 'right'] as const) {
    const tokenizer = Tokenizer.fromSpec({
      tokenizerJson: { model },
      tokenizerConfig: { truncation_side: side },
    });
    const whole = (text: string): number[] => idsOf(tokenizer, text) ?? [];
    for (const [first, second] of [
      [2, 40],
      [40, 2],
      [40, 41],
      [41, 40],
      [40, 40],
      [0, 40],
      [40, 0],
    ] as const)
      for (const maxLength of [1, 7, 8, 31, 100, 119, 120, 121]) {
        const [a, b] = [whole(words(first)), whole(words(second))];
        const kept = longestFirst(a.length, b.length, maxLength);
        const cut = (ids: number[], count: number): number[] =>
          side === 'left' ? ids.slice(ids.length - count) : ids.slice(0, count);
        const { ids } = tokenizer.encode(words(first), words(second), { maxLength });
        t.same(
          [...ids],
          [...cut(a, kept[0]), ...cut(b, kept[1])],
          `${first} and ${second}, ${maxLength}, ${side}`,
        );
      }
  }
  t.end();
});

await t.test('what is cut off costs little', (t) => {
  const cost = (run: () => unknown): number => {
    const start = process.cpuUsage();
    run();
    const { user, system } = process.cpuUsage(start);
    return user + system;
  };
  // Letters and digits as base64 has them; no blank, and for the last kinds nothing to split at.
  const unbroken = (signs: string): string => {
    let state = 1;
    const next = (): string => {
      state = (state * 48271) % 2147483647;
      return signs[state % signs.length] ?? '';
    };
    return Array.from({ length: 160_000 }, next).join('');
  };
  const wordPiece = fixture.cases.find(({ name }) => name === 'WordPiece')?.parts['model'];
  const bpe = fixture.cases.find(({ name }) => name === 'BPE unk_token')?.parts['model'];
  const unigram = fixture.cases.find(({ name }) => name === 'Unigram')?.parts['model'];
  const kinds = {
    WordPiece: [
      { model: wordPiece, pre_tokenizer: { type: 'BertPreTokenizer' } },
      'abcdexy12/+',
      ['left', 'right'],
    ],
    'byte-level BPE': [
      { pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false } },
      'abcdexy12',
      ['left', 'right'],
    ],
    BPE: [{ model: bpe, pre_tokenizer: { type: 'WhitespaceSplit' } }, 'abcdexy12', ['left', 'right']],
    // From the end, sums of scores would be others: all of the text counts.
    Unigram: [{ model: unigram, pre_tokenizer: { type: 'WhitespaceSplit' } }, 'abc0', ['right']],
  } as const;
  for (const [name, [parts, signs, sides]] of Object.entries(kinds))
    for (const side of sides) {
      const tokenizer = Tokenizer.fromSpec({
        tokenizerJson: { model, ...parts },
        tokenizerConfig: { truncation_side: side },
      });
      const text = unbroken(signs);
      tokenizer.encode(text.slice(0, 20_000));
      const whole = cost(() => tokenizer.encode(text));
      const cut = Math.min(
        ...[1, 2, 3].map(() => cost(() => tokenizer.encode(text, undefined, { maxLength: 128 }))),
      );
      t.ok(cut < whole / 3, `${name}, ${side}: ${cut} of ${whole} µs`);
    }
  t.end();
});
