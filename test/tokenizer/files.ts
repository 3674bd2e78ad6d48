// Folders of tokenizer files, read as transformers' AutoTokenizer reads them and saved so that Python gets the same ids.
// The fixture comes from scripts/reference/tokenizer_files.py.
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';

import { AutoTokenizer } from '../../dist/tokenizer/index.js';

interface Folder {
  name: string;
  files: Record<string, string | object>;
  class: string;
  size: number;
  max: number;
  lines: number[][];
  pair: { ids: number[]; types: number[] | null };
  truncated: number[];
}

const ROOT = join(import.meta.dirname, '../..');
const SCRIPT = join(ROOT, 'scripts/reference/tokenizer_files.py');
const PYTHON = process.env['BERTUNE_PYTHON'];

const text = readFileSync(join(ROOT, 'test/fixtures/tokenizer-files.json'), 'utf8');
const { words } = JSON.parse(text) as { words: string[] };
const vocab = JSON.stringify(Object.fromEntries(words.map((word, id) => [word, id])));
const fixture = JSON.parse(text.replaceAll('"the words"', vocab)) as {
  lines: string[];
  in_python: string[];
  folders: Folder[];
};

async function folderWith(directory: string, files: Folder['files']): Promise<string> {
  await mkdir(directory, { recursive: true });
  for (const [name, content] of Object.entries(files))
    await writeFile(join(directory, name), typeof content === 'string' ? content : JSON.stringify(content));
  return directory;
}

const saved = t.testdir();
const numbered = (index: number): string => String(index).padStart(3, '0');

for (const [index, one] of fixture.folders.entries()) {
  await t.test(one.name, async (t) => {
    const tokenizer = await AutoTokenizer.fromPretrained(await folderWith(t.testdir(), one.files));
    const idsOf = (line: string): number[] => [...tokenizer.encode(line).ids];
    t.same(fixture.lines.map(idsOf), one.lines);
    t.equal(tokenizer.vocabSize, one.size, 'tokens');
    t.equal(tokenizer.modelMaxLength, one.max);
    t.same([...tokenizer.encode('a b c e 1', undefined, { maxLength: 4 }).ids], one.truncated, 'truncated');
    const pair = tokenizer.encode('a b', 'c');
    t.same([...pair.ids], one.pair.ids, 'pair');
    // transformers 4 gives its backend token types and 5.18 none; here the template of the file decides.
    if (one.class !== 'TokenizersBackend') t.same(pair.typeIds && [...pair.typeIds], one.pair.types, 'types');

    const folder = join(saved, numbered(index));
    await tokenizer.savePretrained(folder);
    const model = one.files['config.json'];
    await folderWith(folder, model === undefined ? {} : { 'config.json': model });
    const again = await AutoTokenizer.fromPretrained(folder);
    t.same(
      fixture.lines.map((line) => [...again.encode(line).ids]),
      one.lines,
      'saved',
    );
    t.equal(again.tokenTypes, tokenizer.tokenTypes, 'token types, saved');
  });
}

await t.test('transformers gives the same ids with what was saved', { skip: PYTHON === undefined }, (t) => {
  const { stdout, stderr } = spawnSync(PYTHON ?? '', [SCRIPT, '--ids', saved], {
    input: JSON.stringify(fixture.lines),
    maxBuffer: 2 ** 28,
  });
  t.not(stdout.length, 0, stderr.toString().slice(-300));
  const found = JSON.parse(stdout.toString()) as Record<string, number[][]>;
  for (const [index, { name, lines }] of fixture.folders.entries())
    t.same(found[numbered(index)], lines, name);
  t.end();
});

const tokenizerJson: object = Object(fixture.folders[0]?.files['tokenizer.json']);

await t.test('a class that tokenizes in Python is refused, also beside a tokenizer.json', async (t) => {
  for (const name of fixture.in_python) {
    const folder = await folderWith(join(t.testdirName, name), {
      'tokenizer.json': tokenizerJson,
      'tokenizer_config.json': { tokenizer_class: name },
    });
    await t.rejects(AutoTokenizer.fromPretrained(folder), {
      name: 'UsageError',
      message: `tokenizer_config.json names "${name}", which cuts texts with Python code of its own`,
    });
  }
  const folder = await folderWith(t.testdirName, {
    'vocab.txt': words.join('\n'),
    'config.json': { model_type: 'bert', tokenizer_class: 'BertJapaneseTokenizer' },
  });
  await t.rejects(AutoTokenizer.fromPretrained(folder), {
    message: /config\.json names "BertJapaneseTokenizer"/,
  });
  for (const [model_type, name] of [
    ['bert-japanese', 'BertJapaneseTokenizer'],
    ['canine', 'CanineTokenizer'],
    ['roc_bert', 'RoCBertTokenizer'],
    ['xlm', 'XLMTokenizer'],
  ] as const)
    await t.rejects(
      AutoTokenizer.fromPretrained(
        await folderWith(join(t.testdirName, model_type), {
          'tokenizer.json': tokenizerJson,
          'config.json': { model_type },
        }),
      ),
      {
        name: 'UsageError',
        message: `has the model type "${model_type}", whose tokenizer is "${name}", which cuts texts with Python code`,
      },
    );
});

await t.test('a model type decides the class where nothing names one', async (t) => {
  // Of TOKENIZER_MAPPING_NAMES in transformers 5.18.
  for (const [model_type, name] of [
    ['convbert', 'BertTokenizer'],
    ['layoutlm', 'BertTokenizer'],
    ['lxmert', 'LxmertTokenizer'],
    ['megatron-bert', 'BertTokenizer'],
    ['mobilebert', 'MobileBertTokenizer'],
    ['squeezebert', 'BertTokenizer'],
  ] as const) {
    const { spec } = await AutoTokenizer.fromPretrained(
      await folderWith(join(t.testdirName, model_type), {
        'tokenizer.json': tokenizerJson,
        'config.json': { model_type },
      }),
    );
    t.equal(spec.tokenizerConfig.tokenizer_class, name);
    t.match(spec.tokenizerJson.normalizer, { type: 'BertNormalizer', lowercase: true }, model_type);
  }
  const vocabulary = await folderWith(join(t.testdirName, 'vocabulary'), {
    'vocab.txt': words.join('\n'),
    'config.json': { model_type: 'deberta' },
  });
  await t.rejects(AutoTokenizer.fromPretrained(vocabulary), {
    message: /"DebertaTokenizer" is no class whose vocabulary bertune reads/,
  });
});

await t.test('a class without a tokenizer.json that is not built from a vocabulary', async (t) => {
  const folder = await folderWith(t.testdir(), {
    'vocab.txt': words.join('\n'),
    'tokenizer_config.json': { tokenizer_class: 'MyTokenizer' },
  });
  await t.rejects(AutoTokenizer.fromPretrained(folder), {
    name: 'UsageError',
    message: /has no tokenizer\.json, and "MyTokenizer" is no class whose vocabulary bertune reads/,
  });
});

await t.test('what a person should know', async (t) => {
  const notesOf = async (config: object, json: object = tokenizerJson): Promise<readonly string[]> => {
    const folder = await folderWith(t.testdir(), { 'tokenizer.json': json, 'tokenizer_config.json': config });
    return (await AutoTokenizer.fromPretrained(folder)).notes;
  };
  t.same(await notesOf({ tokenizer_class: 'PreTrainedTokenizerFast' }), []);
  t.same(await notesOf({ tokenizer_class: 'BertTokenizer', do_lower_case: false }), []);
  t.match(await notesOf({ tokenizer_class: 'BertTokenizer' }), [
    /^tokenizer\.json keeps capitals, but a BertTokenizer lower-cases without "do_lower_case": false/,
  ]);
  t.match(await notesOf({ tokenizer_class: 'LlamaTokenizerFast' }), [
    /^bertune does not build a LlamaTokenizer: its tokenizer\.json is used as it stands/,
  ]);
});
