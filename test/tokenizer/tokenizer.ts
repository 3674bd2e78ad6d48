// Token ids against Hugging Face's Rust tokenizers; the fixture comes from scripts/reference/tokenizer.py.
import { createHash } from 'node:crypto';
import { spawnSync } from 'node:child_process';
import { existsSync, readFileSync } from 'node:fs';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import { test } from 'tap';
import { createNormalizer } from '../../dist/tokenizer/normalizers.js';
import { splitWords } from '../../dist/tokenizer/pre-tokenizers.js';
import { BertTokenizer, createTokenizerPool } from '../../dist/tokenizer/index.js';
import { makeToy } from '../fixtures/toy.js';
import { longestFirst } from '../../dist/tokenizer/sequence-encoder.js';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SHARED = join(ROOT, '..', 'shared', 'data');

interface NormalizerSettings {
  lowercase: boolean;
  strip_accents: boolean | null;
  handle_chinese_chars: boolean;
  clean_text?: boolean;
}
interface Fixture {
  normalizers: Record<string, NormalizerSettings>;
  vocab: string[];
  texts: string[];
  words: Record<string, Record<string, string>>;
  edge_cases: Record<string, { added_tokens: object[]; ids: number[][] }>;
  truncated: {
    text: string;
    pair: string | null;
    max_length: number;
    side: string;
    ids: number[];
    type_ids: number[];
  }[];
  decoded: { ids: number[]; skip: boolean; text: string }[];
  saved: { vocab: string[]; config: object; 'tokenizer.json': string; 'tokenizer_config.json': string }[];
  shared: Record<string, Record<string, string>>;
}
const fixture: Fixture = JSON.parse(readFileSync(join(ROOT, 'test', 'fixtures', 'tokenizer.json'), 'utf8'));

function bertNormalizer(settings: NormalizerSettings | undefined) {
  if (settings === undefined) throw new Error('the fixture lacks these settings');
  return { type: 'BertNormalizer' as const, clean_text: true, ...settings };
}

const special = (id: string, type_id: number) => ({ SpecialToken: { id, type_id } });
const sequence = (id: 'A' | 'B', type_id: number) => ({ Sequence: { id, type_id } });

/** A tokenizer of the fixture's made-up vocabulary. */
function fixtureTokenizer(changes: { normalizer?: string; json?: object; config?: object } = {}) {
  const json = {
    added_tokens: ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]'].map((content, id) => ({
      id,
      content,
      special: true,
    })),
    normalizer: bertNormalizer(fixture.normalizers[changes.normalizer ?? 'uncased']),
    pre_tokenizer: { type: 'BertPreTokenizer' },
    post_processor: {
      type: 'TemplateProcessing',
      single: [special('[CLS]', 0), sequence('A', 0), special('[SEP]', 0)],
      pair: [
        special('[CLS]', 0),
        sequence('A', 0),
        special('[SEP]', 0),
        sequence('B', 1),
        special('[SEP]', 1),
      ],
      special_tokens: {
        '[CLS]': { id: '[CLS]', ids: [2], tokens: ['[CLS]'] },
        '[SEP]': { id: '[SEP]', ids: [3], tokens: ['[SEP]'] },
      },
    },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: true },
    model: {
      type: 'WordPiece',
      unk_token: '[UNK]',
      continuing_subword_prefix: '##',
      vocab: Object.fromEntries(fixture.vocab.map((token, id) => [token, id])),
    },
    ...changes.json,
  };
  return BertTokenizer.fromSpec({ tokenizerJson: json, tokenizerConfig: changes.config ?? {} });
}

async function folderWith(directory: string, files: Record<string, string>): Promise<string> {
  await mkdir(directory, { recursive: true });
  await Promise.all(Object.entries(files).map(([name, text]) => writeFile(join(directory, name), text)));
  return directory;
}

const usage = (message: string | RegExp) => ({ name: 'UsageError', message });
/** Typed arrays as lists: tap compares large ones slowly. */
const plain = (value: unknown): string =>
  JSON.stringify(value, (_, part: unknown) => (part instanceof Int32Array ? Array.from(part) : part));
const lines = (vocab: readonly string[]): string => vocab.map((token) => `${token}\n`).join('');

await test('words of every code point are those of Rust, with each kind of normalizer', async (t) => {
  for (const [name, settings] of Object.entries(fixture.normalizers)) {
    const normalize = createNormalizer(bertNormalizer(settings));
    for (const [planeText, expected] of Object.entries(fixture.words[name] ?? {})) {
      const plane = Number(planeText);
      const sha = createHash('sha256');
      for (let code = plane << 16; code < (plane + 1) << 16; code++) {
        if (code >= 0xd800 && code < 0xe000) continue;
        const character = String.fromCodePoint(code);
        sha.update(`${splitWords(normalize(`ab${character}cd ${character}`)).join('\0')}\n`);
      }
      t.equal(sha.digest('hex'), expected, `${name}, plane ${plane}`);
    }
  }
});

await test('edge cases', async (t) => {
  for (const [name, { added_tokens, ids }] of Object.entries(fixture.edge_cases)) {
    const normalizer = name in fixture.normalizers ? name : 'uncased';
    const tokenizer = fixtureTokenizer({ normalizer, json: { added_tokens } });
    for (const round of ['first', 'from the cache']) {
      const found = fixture.texts.map((text) => [...tokenizer.encode(text).ids]);
      t.same(found, ids, `${name}, ${round}`);
    }
  }
});

await test('truncation keeps the special tokens and trims the longest of a pair first', async (t) => {
  const sides = {
    right: fixtureTokenizer(),
    left: fixtureTokenizer({ config: { truncation_side: 'left' } }),
  };
  for (const { text, pair, max_length: maxLength, side, ids, type_ids: typeIds } of fixture.truncated) {
    const encoding = sides[side === 'left' ? 'left' : 'right'].encode(text, pair ?? undefined, { maxLength });
    const found = [...encoding.ids];
    const foundTypes = encoding.typeIds === null ? found.map(() => 0) : [...encoding.typeIds];
    t.same({ ids: found, typeIds: foundTypes }, { ids, typeIds }, `${text} | ${pair}, ${maxLength}, ${side}`);
    t.equal(encoding.typeIds === null, pair === null);
  }
  const wrong: string[] = [];
  for (let budget = 0; budget < 12; budget++) {
    for (let first = 0; first < 12; first++) {
      for (let second = 0; second < 12; second++) {
        const [keptFirst, keptSecond] = longestFirst(first, second, budget);
        const full = keptFirst + keptSecond === Math.min(budget, first + second);
        if (!full || keptFirst > first || keptSecond > second) wrong.push(`${first}, ${second} in ${budget}`);
      }
    }
  }
  t.same(wrong, [], 'every kept length is possible, and no room is wasted');
});

await test('without special tokens', async (t) => {
  const tokenizer = fixtureTokenizer();
  const [whole, bare] = [true, false].map((addSpecialTokens) =>
    tokenizer.encode('hello dog', 'the dog', { addSpecialTokens }),
  );
  t.same(
    [...(bare?.ids ?? [])],
    [...(whole?.ids ?? [])].filter((id) => id > 4),
  );
  t.same([...(bare?.typeIds ?? [])], [0, 0, 1, 1]);
  t.equal(
    tokenizer.encode('hello dog the', undefined, { addSpecialTokens: false, maxLength: 2 }).ids.length,
    2,
  );
});

await test('decode, and tokens by id', async (t) => {
  const tokenizer = fixtureTokenizer();
  for (const { ids, skip, text } of fixture.decoded) {
    t.equal(tokenizer.decode(ids, { skipSpecialTokens: skip }), text);
  }
  t.equal(tokenizer.decode([]), '');
  t.equal(tokenizer.decode(Int32Array.of(2, 3), { skipSpecialTokens: true }), '');
  t.equal(tokenizer.vocabSize, fixture.vocab.length);
  t.equal(tokenizer.tokenToId('[MASK]'), 4);
  t.equal(tokenizer.idToToken(4), '[MASK]');
  t.equal(tokenizer.tokenToId('no such token'), undefined);
  t.equal(tokenizer.idToToken(999_999), undefined);
  t.throws(() => tokenizer.decode([2, 999_999]), {
    name: 'UsageError',
    message: `Expected a token id from 0 to ${fixture.vocab.length - 1} for ids but received 999999`,
  });
});

await test('vocab.txt and tokenizer_config.json in, the files of transformers out', async (t) => {
  for (const [index, expectation] of fixture.saved.entries()) {
    const source = await folderWith(join(t.testdirName, `source-${index}`), {
      'vocab.txt': lines(expectation.vocab),
      'tokenizer_config.json': JSON.stringify(expectation.config),
    });
    const target = join(t.testdirName, `target-${index}`);
    const tokenizer = await BertTokenizer.fromPretrained(source);
    await tokenizer.savePretrained(target);
    t.equal(await readFile(join(target, 'tokenizer.json'), 'utf8'), expectation['tokenizer.json']);
    // transformers also notes down how the tokenizer was loaded, which is nothing about the tokenizer.
    const config = expectation['tokenizer_config.json'].replace(
      / {2}"(is_local|local_files_only)": \w+,\n/g,
      '',
    );
    t.equal(await readFile(join(target, 'tokenizer_config.json'), 'utf8'), config);
    t.equal(await readFile(join(target, 'vocab.txt'), 'utf8'), lines(expectation.vocab));

    const again = await BertTokenizer.fromPretrained(target);
    t.same(again.spec.tokenizerJson, tokenizer.spec.tokenizerJson);
    t.same(again.encode('dogs 中 <s> 10 "', 'x'), tokenizer.encode('dogs 中 <s> 10 "', 'x'));
  }
});

await test('other sources of a tokenizer', async (t) => {
  const vocab = lines(['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'dog', 'É', 'e', 'Dog']);
  const json = JSON.stringify(fixtureTokenizer().spec.tokenizerJson);

  const legacy = await folderWith(join(t.testdirName, 'legacy'), {
    'vocab.txt': vocab,
    'added_tokens.json': '{"<b>": 10, "<a>": 9}',
    'special_tokens_map.json': '{"additional_special_tokens": ["<a>"]}',
  });
  const fromVocab = await BertTokenizer.fromPretrained(legacy);
  t.same([...fromVocab.encode('É<b>dog <a> Dog').ids], [2, 7, 10, 5, 9, 5, 3], 'uncased is the default');
  t.equal(fromVocab.modelMaxLength, 1e30);
  t.equal(fromVocab.vocabSize, 11);

  const windows = await folderWith(join(t.testdirName, 'windows'), {
    'vocab.txt': vocab.replaceAll('\n', '\r\n'),
    'tokenizer_config.json': '{"do_lower_case": false, "model_max_length": 128}',
  });
  const cased = await BertTokenizer.fromPretrained(windows);
  t.same([...cased.encode('É Dog dog').ids], [2, 6, 8, 5, 3]);
  t.equal(cased.modelMaxLength, 128);

  const overridden = await folderWith(join(t.testdirName, 'overridden'), {
    'tokenizer.json': json,
    'tokenizer_config.json': '{"do_lower_case": false}',
  });
  const dog = fixture.vocab.indexOf('dog');
  t.not(
    (await BertTokenizer.fromPretrained(overridden)).encode('DOG').ids[1],
    dog,
    'as BertTokenizer, the config wins',
  );

  const untyped = json.replace('"model":{"type":"WordPiece",', '"model":{');
  t.not(untyped, json);
  const old = await folderWith(join(t.testdirName, 'old'), { 'tokenizer.json': untyped });
  t.same(
    [...(await BertTokenizer.fromPretrained(old)).encode('DOG').ids],
    [2, dog, 3],
    'a model without its type',
  );
});

await test('parts of other kinds', async (t) => {
  const json = {
    normalizer: { type: 'Lowercase' },
    pre_tokenizer: { type: 'Whitespace' },
    post_processor: { type: 'RobertaProcessing', sep: ['</s>', 1], cls: ['<s>', 0] },
    decoder: { type: 'WordPiece', prefix: '##', cleanup: false },
    model: {
      type: 'WordPiece',
      unk_token: '<unk>',
      continuing_subword_prefix: '##',
      vocab: { '<s>': 0, '</s>': 1, '<unk>': 2, a: 3, b: 4, '##b': 5 },
    },
  };
  const tokenizer = BertTokenizer.fromSpec({ tokenizerJson: json, tokenizerConfig: {} });
  t.same([...tokenizer.encode('A ab').ids], [0, 3, 3, 5, 1]);
  const pair = tokenizer.encode('A b', 'ab', { maxLength: 7 });
  t.same([...pair.ids], [0, 3, 1, 1, 3, 5, 1], 'the longer, here equal, texts share what is left');
  t.equal(pair.typeIds, null, 'no token types, as all are 0');
  t.equal(tokenizer.encode('a', undefined, { maxLength: 2 }).ids.length, 2);

  const bare = BertTokenizer.fromSpec({
    tokenizerJson: { ...json, post_processor: null },
    tokenizerConfig: {},
  });
  t.same(bare.encode('a', 'b'), { ids: Int32Array.of(3, 4), typeIds: Int32Array.of(0, 1) });
});

await test('wrong input', async (t) => {
  const untyped: { encode(text: unknown, pair: unknown, options: object): unknown } = fixtureTokenizer();
  const wrong: [unknown, unknown, object, string][] = [
    [42, undefined, {}, 'Expected a string for text but received 42'],
    [undefined, undefined, {}, 'Expected a string for text but received undefined'],
    [['a'], undefined, {}, 'Expected a string for text but received an array of length 1'],
    ['a', null, {}, 'Expected a string for textPair but received null'],
    ['a', undefined, { maxLength: 0 }, 'Expected a whole number above 0 for maxLength but received 0'],
    ['a', undefined, { maxLength: 2.5 }, 'Expected a whole number above 0 for maxLength but received 2.5'],
    ['a', undefined, { maxLength: NaN }, 'Expected a whole number above 0 for maxLength but received NaN'],
    ['a', 'b', { maxLength: 2 }, 'maxLength 2 leaves no room: the special tokens alone take 3'],
  ];
  for (const [text, pair, options, message] of wrong) {
    t.throws(() => untyped.encode(text, pair, options), usage(message));
  }

  const valid = fixtureTokenizer().spec.tokenizerJson;
  const broken: [string, Record<string, string>, RegExp][] = [
    ['nothing', {}, /^No tokenizer\.json, and no vocab\.txt, .* in .*nothing/],
    ['not-json', { 'tokenizer.json': '{"model": ' }, /not-json.tokenizer\.json is not valid JSON/],
    ['no-model', { 'tokenizer.json': '{}' }, /no-model.tokenizer\.json cannot be used: model: .*$/],
    ['array', { 'tokenizer.json': '[]' }, /array.tokenizer\.json cannot be used/],
    [
      'config',
      { 'vocab.txt': '[UNK]\n', 'tokenizer_config.json': '{"do_lower_case": "no"}' },
      /do_lower_case/,
    ],
    ['no-unk', { 'vocab.txt': 'a\nb\n' }, /vocab\.txt, model cannot be used: .*lacks the unknown token$/],
    [
      'ids',
      { 'tokenizer.json': JSON.stringify({ ...valid, model: { ...valid.model, vocab: { '[UNK]': -1 } } }) },
      /expected an object of token ids/,
    ],
    [
      'post',
      { 'tokenizer.json': JSON.stringify({ ...valid, post_processor: { type: 'Sequence' } }) },
      /post_processor/,
    ],
    [
      'unknown',
      { 'tokenizer.json': JSON.stringify({ ...valid, normalizer: { type: 'Shouting' } }) },
      /normalizer cannot be used: unknown type "Shouting"/,
    ],
  ];
  for (const [name, files, message] of broken) {
    const directory = await folderWith(join(t.testdirName, name), files);
    await t.rejects(BertTokenizer.fromPretrained(directory), usage(message), name);
  }
  const latin = await folderWith(join(t.testdirName, 'latin'), {});
  await writeFile(join(latin, 'vocab.txt'), Buffer.from([0x5b, 0xe9, 0x0a]));
  await t.rejects(BertTokenizer.fromPretrained(latin), usage(/vocab\.txt is not UTF-8/));
});

await test('worker pool', async (t) => {
  const tokenizer = fixtureTokenizer();
  const examples = Array.from({ length: 500 }, (_, index) => ({
    text: `${'hello dog '.repeat(index % 17)}${index}`,
    ...(index % 3 === 0 ? { textPair: 'new york' } : {}),
  }));
  const expected = examples.map(({ text, textPair }) => tokenizer.encode(text, textPair, { maxLength: 16 }));

  for (const workers of [0, 1, 3]) {
    const pool = createTokenizerPool(tokenizer, { maxLength: 16, workers });
    const lists = await Promise.all([
      pool.encode(examples),
      pool.encode([]),
      pool.encode(examples.slice(7, 9)),
    ]);
    t.equal(plain(lists), plain([expected, [], expected.slice(7, 9)]), `${workers} workers`);
    const untyped: { encode(examples: readonly { text: unknown }[]): Promise<unknown> } = pool;
    await t.rejects(untyped.encode([{ text: 'a' }, { text: 5 }]), {
      name: 'UsageError',
      message: 'Expected a string for text but received 5',
    });
    t.equal(
      plain(await pool.encode(examples.slice(0, 1))),
      plain(expected.slice(0, 1)),
      'a bad text does not end it',
    );
    await pool.close();
    await pool.close();
  }

  const closed = createTokenizerPool(tokenizer, { maxLength: 16, workers: 2 });
  const under = closed.encode(examples);
  const rejected = t.rejects(under, { name: 'RunError', message: 'The tokenizer pool is closed' });
  await closed.close();
  await rejected;
  await t.rejects(closed.encode(examples), { name: 'RunError', message: 'The tokenizer pool is closed' });

  t.throws(() => createTokenizerPool(tokenizer, { maxLength: 16, workers: -1 }), {
    message: 'Expected a whole number from 0 for workers but received -1',
  });
  t.throws(() => createTokenizerPool(tokenizer, { maxLength: 1, workers: 1 }), { message: /leaves no room/ });

  // A definition that the thread cannot use: the thread dies, and says why.
  const unusable = fixtureTokenizer();
  Object.assign(unusable.spec.tokenizerJson, { model: null });
  const dying = createTokenizerPool(unusable, { maxLength: 16, workers: 1 });
  await t.rejects(dying.encode(examples), {
    name: 'RunError',
    message: /^A tokenizer thread failed: [^\n]+$/,
  });
  await t.rejects(dying.encode(examples), {
    name: 'RunError',
    message: /^A tokenizer thread failed: [^\n]+$/,
  });
  await dying.close();
});

await test('an idle pool does not keep the process alive', async (t) => {
  const directory = join(t.testdirName, 'saved');
  await fixtureTokenizer().savePretrained(directory);
  const script = `
    import { BertTokenizer, createTokenizerPool } from '${new URL('../../dist/tokenizer/index.js', import.meta.url).href}';
    const tokenizer = await BertTokenizer.fromPretrained(${JSON.stringify(directory)});
    const pool = createTokenizerPool(tokenizer, { maxLength: 8, workers: 1 });
    console.log((await pool.encode([{ text: 'hello dog' }])).length);`;
  const result = spawnSync(process.execPath, ['--input-type=module', '--eval', script], { timeout: 20_000 });
  t.equal(result.stdout.toString(), '1\n', result.stderr.toString());
  t.equal(result.status, 0);
});

await test(
  'every text of the shared data',
  { skip: !existsSync(SHARED) && '../shared/data is missing' },
  async (t) => {
    const tokenizers = new Map<string, BertTokenizer>();
    for (const vocabFile of Object.keys(fixture.shared)) {
      const directory = await folderWith(join(t.testdirName, vocabFile), {
        'vocab.txt': readFileSync(join(SHARED, 'vocab', vocabFile), 'utf8'),
        'tokenizer_config.json': JSON.stringify({ do_lower_case: vocabFile.includes('uncased') }),
      });
      tokenizers.set(vocabFile, await BertTokenizer.fromPretrained(directory));
    }
    for (const file of new Set(Object.values(fixture.shared).flatMap((hashes) => Object.keys(hashes)))) {
      const bytes = readFileSync(join(SHARED, file));
      const rows = parse<Record<string, string>>(file.endsWith('.gz') ? gunzipSync(bytes) : bytes, {
        columns: true,
      });
      for (const [vocabFile, tokenizer] of tokenizers) {
        const sha = createHash('sha256');
        for (const options of [{}, { maxLength: 64 }]) {
          for (const row of rows) {
            const text = row['text_a'] ?? row['text'] ?? '';
            const { ids, typeIds } = tokenizer.encode(text, row['text_b'], options);
            sha.update(ids);
            if (typeIds !== null) sha.update(typeIds);
          }
        }
        t.equal(sha.digest('hex'), fixture.shared[vocabFile]?.[file], `${vocabFile}, ${file}`);
      }
    }
  },
);

test('a process waits for a thread that is ended at work', (t) => {
  const { model } = makeToy(t.testdir(), { train: 2, test: 2 });
  const script = `
    const { BertTokenizer, createTokenizerPool } = await import(process.argv[1]);
    const tokenizer = await BertTokenizer.fromPretrained(process.argv[2]);
    for (let count = 1; count <= 40; count++) {
      const pool = createTokenizerPool(tokenizer, { workers: 1 });
      const examples = Array.from({ length: 20 * count }, () => ({ text: 'the film was good' }));
      await pool.encode(examples);
      pool.encode(examples).catch(() => undefined); // its reply may come while the thread ends
      await pool.close();
    }
    console.log('closed');`;
  const index = fileURLToPath(new URL('../../dist/index.js', import.meta.url));
  const args = ['--input-type=module', '--eval', script, index, model];
  const { status, stdout, stderr } = spawnSync(process.execPath, args, {
    encoding: 'utf8',
    env: { ...process.env, NODE_OPTIONS: '' },
  });
  t.same({ status, stdout }, { status: 0, stdout: 'closed\n' }, stderr);
  t.end();
});
