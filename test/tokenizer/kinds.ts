// Byte-level BPE and Unigram against Hugging Face's Rust tokenizers and transformers; the fixture comes from
// scripts/reference/tokenizer_kinds.py.
import { spawnSync } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { gunzipSync } from 'node:zlib';
import { parse } from 'csv-parse/sync';
import t from 'tap';

import { createCharsmap } from '../../dist/tokenizer/charsmap.js';
import { createNormalizer } from '../../dist/tokenizer/normalizers.js';
import { createPreTokenizer } from '../../dist/tokenizer/pre-tokenizers.js';
import { AutoTokenizer, Tokenizer, createTokenizerPool } from '../../dist/tokenizer/index.js';

const ROOT = join(import.meta.dirname, '../..');
const SHARED = join(ROOT, '../shared/data');
const PYTHON = process.env['BERTUNE_PYTHON'];
const SCRIPT = join(ROOT, 'scripts/reference/tokenizer_kinds.py');

interface Json {
  [key: string]: unknown;
}
interface TokenizerParts extends Json {
  normalizer: Json | null;
  model: Json & { vocab: [string, number][] };
}
interface Fixture {
  lines: string[];
  tokenizers: { bpe: TokenizerParts; unigram: TokenizerParts };
  kinds: Record<
    string,
    {
      base: 'bpe' | 'unigram';
      parts: Json & { model?: Json };
      lines: (number[] | string)[];
      pairs: { ids: number[]; types: number[] }[];
      decoded: string[];
    }
  >;
  texts: [string, string][];
  truncated: {
    kind: 'bpe' | 'unigram';
    texts: [string, string | null];
    max_length: number;
    side: 'left' | 'right';
    ids: number[];
  }[];
  components: { json: { type: string }; planes: string[] }[];
  faults: { fault: string; json: { type: string }; text: string; result: string | string[] }[];
  models: { model: Json; ids: Record<string, number[]> }[];
  random: { alphabet: string[]; count: number; sha256: string };
  loaded: {
    files: Record<string, string>;
    class: string;
    json: Json & { model: Json };
    max: number;
    types: boolean;
  }[];
  spm: { model: string; 'xlm-roberta': Json[]; camembert: { added_tokens: Json[]; vocab: string } };
}
const text = readFileSync(join(ROOT, 'test/fixtures/tokenizer-kinds.json'), 'utf8');
const charsmap: unknown = (JSON.parse(text) as Fixture).tokenizers.unigram.normalizer?.[
  'precompiled_charsmap'
];
const fixture = JSON.parse(text.replaceAll('the charsmap', String(charsmap))) as Fixture;

function jsonOf(kind: string): TokenizerParts {
  const { base, parts } = fixture.kinds[kind] ?? { base: 'bpe', parts: {} };
  const whole = fixture.tokenizers[base];
  const model = { ...whole.model, ...parts.model };
  if ((model.vocab as unknown) === 'the vocabulary and bytes') {
    const hex = (byte: number): string => byte.toString(16).toUpperCase().padStart(2, '0');
    const bytes = Array.from({ length: 256 }, (_, byte): [string, number] => [`<0x${hex(byte)}>`, 0]);
    model.vocab = [...whole.model.vocab, ...bytes];
  }
  return { ...whole, ...parts, model };
}

function tokenizerOf(kind: string, tokenizerConfig: object = {}): Tokenizer {
  return Tokenizer.fromSpec({ tokenizerJson: jsonOf(kind), tokenizerConfig });
}

async function folderWith(directory: string, files: Record<string, string | Buffer>): Promise<string> {
  await mkdir(directory, { recursive: true });
  await Promise.all(
    Object.entries(files).map(([name, content]) => writeFile(join(directory, name), content)),
  );
  return directory;
}

function digest(ids: Int32Array): string {
  return createHash('sha256').update(ids).digest('hex').slice(0, 10);
}

/** Ids that AutoTokenizer gives for the texts, with the tokenizer in the folder. */
function idsOfTransformers(folder: string, texts: readonly (string | readonly string[])[]): number[][] {
  const result = spawnSync(PYTHON ?? '', [SCRIPT, '--ids', folder], {
    input: JSON.stringify(texts),
    maxBuffer: 2 ** 28,
  });
  return JSON.parse(result.stdout.toString() || `"${result.stderr.toString().slice(-300)}"`) as number[][];
}

await t.test('every line, with each kind of tokenizer', (t) => {
  for (const [kind, { lines, pairs, decoded }] of Object.entries(fixture.kinds)) {
    const tokenizer = tokenizerOf(kind);
    for (const round of ['first', 'from the cache']) {
      const found = fixture.lines.map((line, index) => {
        const { ids } = tokenizer.encode(line);
        return typeof lines[index] === 'string' ? digest(ids) : [...ids];
      });
      t.same(
        found.flatMap((ids, index) => (JSON.stringify(ids) === JSON.stringify(lines[index]) ? [] : [index])),
        [],
        `${kind}, ${round}`,
      );
    }
    for (const [index, { ids, types }] of pairs.entries()) {
      const encoding = tokenizer.encode(...(fixture.texts[index] ?? ['', '']));
      const foundTypes = encoding.typeIds === null ? types.map(() => 0) : [...encoding.typeIds];
      t.same({ ids: [...encoding.ids], types: foundTypes }, { ids, types }, `${kind}, pair ${index}`);
    }
    for (const [index, expected] of decoded.entries()) {
      const ids = lines[13 + index];
      if (typeof ids !== 'string')
        t.equal(tokenizer.decode(ids ?? [], { skipSpecialTokens: true }), expected);
    }
  }
  t.end();
});

await t.test('each fault of @huggingface/tokenizers 0.2.0', (t) => {
  for (const { fault, json, text: input, result } of fixture.faults) t.same(run(json)(input), result, fault);
  t.end();
});

await t.test('scores that are equal, and unknown characters, with each model', (t) => {
  for (const { model, ids } of fixture.models) {
    const tokenizer = Tokenizer.fromSpec({ tokenizerJson: { model }, tokenizerConfig: {} });
    for (const [input, expected] of Object.entries(ids))
      t.same([...tokenizer.encode(input).ids], expected, `${JSON.stringify(model).slice(0, 60)}: ${input}`);
  }
  t.end();
});

/** A normalizer or pre-tokenizer alone, as a tokenizer.json has it. */
function run(json: { type: string }): (input: string) => string | string[] {
  const part = (key: string): Json => ({ model: { type: 'BPE', vocab: {}, merges: [] }, [key]: json });
  const isPreTokenizer = /Split|space|ByteLevel|Punctuation|PreTokenizer/.test(json.type);
  const { normalizer, pre_tokenizer: preTokenizer } = Tokenizer.fromSpec({
    tokenizerJson: part(isPreTokenizer ? 'pre_tokenizer' : 'normalizer'),
    tokenizerConfig: {},
  }).spec.tokenizerJson;
  if (!isPreTokenizer) return createNormalizer(normalizer);
  const split = createPreTokenizer(preTokenizer);
  return (input) => split(input, true);
}

await t.test('every code point, with each component', (t) => {
  for (const { json, planes } of fixture.components) {
    const step = run(json);
    const found = [0, 1, 2, 3, 14].slice(0, planes.length).map((plane) => {
      const sha = createHash('sha256');
      for (let code = plane << 16; code < (plane + 1) << 16; code++) {
        if (code >= 0xd800 && code < 0xe000) continue;
        const result = step(`ab${String.fromCodePoint(code)}cd ${String.fromCodePoint(code)}`);
        sha.update(`${typeof result === 'string' ? result : result.join('\0')}\n`);
      }
      return sha.digest('hex').slice(0, 16);
    });
    t.same(found, planes, JSON.stringify(json).slice(0, 100));
  }
  t.end();
});

await t.test('random strings through the charsmap', (t) => {
  const { alphabet, count, sha256 } = fixture.random;
  const normalize = run({ type: 'Precompiled', precompiled_charsmap: charsmap } as { type: string });
  let state = 1;
  const draw = (below: number): number => {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    return (state >>> 8) % below;
  };
  const sha = createHash('sha256');
  for (let index = 0; index < count; index++) {
    const length = 1 + draw(8);
    let input = '';
    for (let at = 0; at < length; at++) input += alphabet[draw(alphabet.length)];
    sha.update(`${String(normalize(input))}\n`);
  }
  t.equal(sha.digest('hex'), sha256);
  t.end();
});

await t.test('truncation keeps three or four special tokens', (t) => {
  for (const { kind, texts, max_length: maxLength, side, ids } of fixture.truncated) {
    const [first, second] = texts;
    const tokenizer = tokenizerOf(kind, { truncation_side: side });
    const found = tokenizer.encode(first, second ?? undefined, { maxLength });
    t.same([...found.ids], ids, `${kind}, ${maxLength}, ${side}: ${texts.join(' | ')}`);
  }
  t.end();
});

await t.test('files are read as AutoTokenizer reads them', async (t) => {
  for (const [index, { files, class: className, json, max, types }] of fixture.loaded.entries()) {
    const folder = await folderWith(join(t.testdirName, `source-${index}`), files);
    const tokenizer = await AutoTokenizer.fromPretrained(folder);
    const { version: _, truncation: __, padding: ___, ...found } = tokenizer.spec.tokenizerJson;
    const model: Json = { ...found.model };
    if (Array.isArray(model['merges']))
      model['merges'] = model['merges'].map((merge) => (Array.isArray(merge) ? merge.join(' ') : merge));
    const label = `${index}: ${className}, ${Object.keys(files).join(', ')}`;
    const isOld = files['tokenizer.json'] === undefined;
    t.strictSame(sorted({ ...found, model }), sorted(json), label);
    t.equal(tokenizer.modelMaxLength, max, label);
    if (className !== 'TokenizersBackend') t.equal(tokenizer.tokenTypes > 0, types, `${label}, token types`);

    const again = join(t.testdirName, `saved-${index}`);
    await tokenizer.savePretrained(again);
    const reloaded = await AutoTokenizer.fromPretrained(again);
    t.strictSame(reloaded.spec.tokenizerJson, tokenizer.spec.tokenizerJson, `${label}, saved`);
    if (isOld) t.same([...tokenizer.encode('ab a').ids], [0, ...reloaded.encode('ab a').ids.slice(1, -1), 2]);
  }
});

/** Keys in order, so that they can be compared as text. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (typeof value !== 'object' || value === null) return value;
  const entries = Object.entries(value).filter(([, one]) => one !== undefined);
  return Object.fromEntries(
    entries.map(([key, one]) => [key, sorted(one)] as const).toSorted(([a], [b]) => (a < b ? -1 : 1)),
  );
}

await t.test('a SentencePiece model alone', async (t) => {
  const { model, 'xlm-roberta': added, camembert } = fixture.spm;
  const source = (modelType: string): Promise<string> =>
    folderWith(join(t.testdirName, modelType), {
      'sentencepiece.bpe.model': Buffer.from(model, 'base64'),
      'config.json': JSON.stringify({ model_type: modelType }),
    });
  const xlmRoberta = await AutoTokenizer.fromPretrained(await source('xlm-roberta'));
  t.strictSame(sorted(xlmRoberta.spec.tokenizerJson.added_tokens), sorted(added));
  for (const [index, line] of fixture.lines.entries())
    t.same([...xlmRoberta.encode(line).ids], fixture.kinds['unigram']?.lines[index], `line ${index}`);
  const { spec } = await AutoTokenizer.fromPretrained(await source('camembert'));
  t.strictSame(sorted(spec.tokenizerJson.added_tokens), sorted(camembert.added_tokens));
  const { vocab } = spec.tokenizerJson.model;
  const rows = Array.isArray(vocab) ? vocab.map(([piece, score]) => `${piece} ${score.toFixed(6)}\n`) : [];
  t.equal(createHash('sha256').update(rows.join('')).digest('hex'), camembert.vocab);
});

await t.test('token types', async (t) => {
  const bert = Tokenizer.fromSpec({
    tokenizerJson: {
      pre_tokenizer: { type: 'WhitespaceSplit' },
      model: { type: 'WordPiece', unk_token: 'u', continuing_subword_prefix: '##', vocab: { u: 0, a: 1 } },
    },
    tokenizerConfig: { tokenizer_class: 'BertTokenizer' },
  });
  t.equal(bert.tokenTypes, 2);
  t.same(bert.encode('a', 'a').typeIds, Int32Array.of(0, 1));
  t.equal(bert.encode('a', 'a', { tokenTypes: 0 }).typeIds, null, 'a model without token types');
  t.equal(bert.encode('a', 'a', { tokenTypes: 1 }).typeIds, null, 'a model with one');
  const other = (tokenizerConfig: object): Tokenizer =>
    Tokenizer.fromSpec({ tokenizerJson: bert.spec.tokenizerJson, tokenizerConfig });
  t.equal(other({ tokenizer_class: 'DistilBertTokenizer' }).encode('a', 'a').typeIds, null);
  t.equal(other({ model_input_names: ['input_ids', 'attention_mask'] }).encode('a', 'a').typeIds, null);
  t.equal(
    other({ tokenizer_class: 'DistilBertTokenizer' }).encode('a', 'a', { tokenTypes: 2 }).typeIds,
    null,
  );
  t.equal(tokenizerOf('bpe').encode('a', 'a').typeIds, null, 'RoBERTa');
  for (const workers of [0, 1]) {
    const pool = createTokenizerPool(bert, { tokenTypes: 0, workers });
    t.same(
      (await pool.encode([{ text: 'a', textPair: 'a' }])).map(({ typeIds }) => typeIds),
      [null],
    );
    await pool.close();
  }
});

await t.test(
  'what is saved loads in transformers',
  { skip: PYTHON === undefined && 'BERTUNE_PYTHON is not set' },
  async (t) => {
    const texts = [
      ...fixture.lines.map((line) => line.replace(/\p{Surrogate}/gu, '\uFFFD')),
      ...fixture.texts,
    ];
    const cases: [kind: string, config: object, modelType: string][] = [
      ['bpe', { tokenizer_class: 'RobertaTokenizer' }, 'roberta'],
      [
        'byte-level, prefix space',
        { tokenizer_class: 'RobertaTokenizer', add_prefix_space: true },
        'roberta',
      ],
      ['unigram', { tokenizer_class: 'XLMRobertaTokenizer' }, 'xlm-roberta'],
      ['unigram', { tokenizer_class: 'CamembertTokenizer' }, 'camembert'],
      ['modernbert', {}, 'modernbert'],
      ['deberta-v2 of 4.x', {}, ''],
    ];
    for (const [kind, tokenizerConfig, modelType] of cases) {
      const source = await folderWith(join(t.testdirName, `${kind}-${modelType}`), {
        'tokenizer.json': JSON.stringify(jsonOf(kind)),
        'tokenizer_config.json': JSON.stringify(tokenizerConfig),
        ...(modelType !== '' && { 'config.json': JSON.stringify({ model_type: modelType }) }),
      });
      const tokenizer = await AutoTokenizer.fromPretrained(source);
      const saved = join(source, 'saved');
      await tokenizer.savePretrained(saved);
      if (modelType !== '')
        writeFileSync(join(saved, 'config.json'), JSON.stringify({ model_type: modelType }));
      const ours = texts.map((one) =>
        Array.from((typeof one === 'string' ? tokenizer.encode(one) : tokenizer.encode(...one)).ids),
      );
      t.same(idsOfTransformers(saved, texts), ours, `${kind}, ${modelType}`);
    }
  },
);

const missing = !existsSync(SHARED) ? '../shared/data is missing' : 'BERTUNE_PYTHON is not set';
await t.test(
  'every text of the shared data',
  { skip: (!existsSync(SHARED) || PYTHON === undefined) && missing, timeout: 900_000 },
  async (t) => {
    const folder = t.testdir();
    const { status, stderr } = spawnSync(PYTHON ?? '', [SCRIPT, '--train', SHARED, folder]);
    t.equal(status, 0, stderr.toString().slice(-500));
    for (const kind of ['roberta', 'xlm-roberta/saved', 'camembert/saved']) {
      const tokenizer = await AutoTokenizer.fromPretrained(join(folder, kind));
      const digests = JSON.parse(readFileSync(join(folder, kind, 'digests.json'), 'utf8')) as Record<
        string,
        { texts: number; sha256: string }
      >;
      for (const [file, { texts, sha256 }] of Object.entries(digests)) {
        const bytes = readFileSync(join(SHARED, file));
        const rows = parse<Record<string, string>>(file.endsWith('.gz') ? gunzipSync(bytes) : bytes, {
          columns: true,
        });
        const sha = createHash('sha256');
        for (const row of rows)
          sha.update(tokenizer.encode(row['text_a'] ?? row['text'] ?? '', row['text_b']).ids);
        t.equal(rows.length, texts);
        t.equal(sha.digest('hex'), sha256, `${kind}, ${file}: ${texts} rows`);
      }
    }
  },
);

// Intl.Segmenter takes quadratic time, so that a text is cut into pieces; clusters lie across their ends.
await t.test('a character map goes over long texts in pieces', (t) => {
  const normalizer = createCharsmap(String(charsmap));
  const normalize = (text: string): string => normalizer.normalize(text, () => undefined);
  const clusters = [
    'e\u0301',
    '\ud83c\udde9\ud83c\uddea',
    '\ud83d\udc69\u200d\ud83d\udc69',
    '\uac00\u11a8',
    'a\ud83a\udcd0',
    '\u306f\u309a',
    '\uff76\uff9e',
  ];
  for (let shift = 0; shift < 9; shift++) {
    const unit = `${'x'.repeat(shift)}\u6f22${clusters.join('')}\n`;
    t.equal(normalize(unit.repeat(900)), normalize(unit).repeat(900), `${shift}`);
  }
  const one = `e${'\u0301'.repeat(9000)}`;
  t.equal(
    normalize(`${one}\n${one}`),
    `${normalize(one)}${normalize('\n')}${normalize(one)}`,
    'a cluster longer than a piece',
  );
  const time = (length: number): number => {
    const text = '\u6f22\u5b57\u4eee\u540d\u4ea4\u3058\u308a\u6587'.repeat(length / 8);
    const start = process.cpuUsage();
    normalize(text);
    const { user, system } = process.cpuUsage(start);
    return user + system;
  };
  time(20_000);
  t.ok(time(160_000) < 40 * time(20_000), 'in about linear time');
  t.end();
});
