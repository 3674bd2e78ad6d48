// The model card: metadata equal to huggingface_hub's, text that no name can break, and what a person wrote in the file.
// Expected metadata from scripts/reference/model_cards.py.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import t from 'tap';
import { parse } from 'yaml';

import { modelCardFor, renamedCard } from '../../dist/publishing/card-file.js';
import type { DataSource, ModelFacts } from '../../dist/publishing/facts.js';
import { readYaml, replaceEntries, yamlText } from '../../dist/publishing/card-file.js';
import { metadataOf } from '../../dist/publishing/facts.js';
import { bodyOf, markdown } from '../../dist/publishing/model-card.js';

interface Case {
  metrics: Record<string, number> | null;
  data: {
    dataset_type: string;
    dataset_name: string;
    dataset_config?: string;
    dataset_split?: string;
  } | null;
  expected: Record<string, unknown> & { base_model?: string; language?: string[]; license?: string };
}
interface Fixture {
  cases: Record<string, Case>;
  /** Whether PyYAML reads a text without quotes as that text, and a number as a number. */
  texts: Record<string, boolean>;
  numbers: Record<string, boolean>;
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/model-cards.json', import.meta.url), 'utf8'),
);
const script = fileURLToPath(new URL('../../scripts/reference/model_cards.py', import.meta.url));
const python = process.env['BERTUNE_PYTHON'];

const plainFacts: ModelFacts = {
  name: 'out',
  className: 'BertForSequenceClassification',
  task: { problemType: 'single_label_classification', labels: ['neg', 'pos'] },
  base: { id: 'bert-base-uncased' },
  isAdapter: false,
  readsPairs: false,
  maxLength: 128,
  trainedOn: { name: 'train.csv', id: null },
  evaluation: { on: { name: 'dev.csv', id: null }, metrics: { eval_loss: 0.25, eval_accuracy: 0.75 } },
  settings: { learning_rate: 2e-5 },
  versions: { bertune: '1.2.3' },
  languages: [],
  license: null,
  hasOnnx: false,
};

function sourceOf(data: NonNullable<Case['data']>): DataSource {
  const { dataset_type: type, dataset_name: name, dataset_config: config, dataset_split: split } = data;
  return { name, id: type === 'unknown' ? null : type, config, split };
}

function factsOf({ metrics, data, expected }: Case): ModelFacts {
  const on = data === null ? null : sourceOf(data);
  return {
    ...plainFacts,
    base: expected.base_model === undefined ? 'random weights' : { id: expected.base_model },
    isAdapter: expected['library_name'] === 'peft',
    trainedOn: on,
    evaluation: metrics === null ? null : { on, metrics },
    languages: expected.language ?? [],
    license: expected.license ?? null,
  };
}

t.test('metadata are those of ModelCardData', (t) => {
  for (const [name, each] of Object.entries(fixture.cases)) {
    const metadata = metadataOf(factsOf(each));
    t.same(metadata, each.expected, name);
    t.same(parse(yamlText(metadata)), each.expected, `${name}, as YAML`);
  }
  const undefinedMetrics = { eval_accuracy: Number.NaN, eval_roc_auc: 0.5 };
  const { metrics } = metadataOf({ ...plainFacts, evaluation: { on: null, metrics: undefinedMetrics } });
  t.same(metrics, ['roc_auc'], 'a metric that is not defined is left out');
  t.end();
});

t.test('texts and numbers that YAML 1.1 reads otherwise', (t) => {
  for (const [text, isText] of Object.entries(fixture.texts)) {
    const yaml = yamlText({ key: text });
    t.same(parse(yaml), { key: text }, text);
    if (!isText) t.match(yaml, /^key: "/, `${text} is in quotes`);
  }
  for (const value of [5e-7, 1.5e-7, 1 / 3, 1, -0.25, 0, 1e21]) {
    const written = yamlText({ key: value }).slice('key: '.length).trimEnd();
    t.equal(Number(written), value);
    t.equal(fixture.numbers[written], true, written);
  }
  t.end();
});

const HOSTILE = [
  '<script>alert(1)</script>',
  '<!-- End of the part that bertune generated -->',
  '| a | b |',
  '[link](https://example.org)',
  '![image](x)',
  'www.example.org',
  '`code` **bold** ~~gone~~ @name :smile: $x$',
  'two\nlines',
  '---',
  '&lt;',
  '\u202Eright to left',
  '',
  ' ',
];

t.test('no name is taken for markup', (t) => {
  for (const name of HOSTILE) {
    const written = markdown(name);
    t.notMatch(written, /[<\n\u202E]|(?<!\\)[|`*[\]~@$:]|&(?!lt;|amp;)|www\./, name);
    t.match(written, /\S/);
  }
  const facts = {
    ...plainFacts,
    name: HOSTILE[1] ?? '',
    task: { ...plainFacts.task, labels: HOSTILE },
    trainedOn: { name: HOSTILE[0] ?? '', id: null },
  };
  const body = bodyOf(facts);
  t.notMatch(body, '<');
  const rows = body.split('\n').filter((line) => /^\| \d+ \|/.test(line));
  t.equal(rows.length, HOSTILE.length, 'a row for each label');
  for (const row of rows) t.equal(row.match(/(?<!\\)\|/g)?.length, 3, row);
  t.match(
    bodyOf({ ...plainFacts, task: { ...plainFacts.task, labels: Array<string>(60).fill('a') } }),
    'first of 60',
  );
  t.end();
});

t.test('usage is that of the task', (t) => {
  const code = (facts: Partial<ModelFacts>): string => bodyOf({ ...plainFacts, ...facts });
  const multi = { problemType: 'multi_label_classification', labels: ['a', 'b'] } as const;
  const regression = { problemType: 'regression', labels: ['LABEL_0'] } as const;
  t.match(code({}), 'classifier("A text", truncation=True, max_length=128)');
  t.match(code({ readsPairs: true }), '{"text": "The first text", "text_pair": "The second"}');
  t.match(code({ readsPairs: true }), "{ text: 'The first text', textPair: 'The second' }");
  t.match(code({ task: multi }), 'top_k=None');
  t.match(code({ task: regression }), 'function_to_apply="none"');
  t.match(
    code({ isAdapter: true }),
    'AutoPeftModelForSequenceClassification.from_pretrained("out", num_labels=2)',
  );
  t.match(code({}), 'npx bertune export --model out --output-dir model-onnx');
  t.match(code({}), "await pipeline('text-classification', './model-onnx')", 'of the export');
  t.match(code({ hasOnnx: true }), "await pipeline('text-classification', 'out')");
  t.match(code({ hasOnnx: true, readsPairs: true }), "text_pair: 'The second'");
  t.match(code({ hasOnnx: true, task: regression }), 'logits.tolist()');
  t.match(code({ name: '-x"; rm' }), '--model _x___rm --test-file', 'a name is one plain word');
  t.notMatch(
    code({ evaluation: null, settings: null }),
    /## (Evaluation|Training)/,
    'what is not known is left out',
  );
  t.end();
});

async function written(folder: string, facts: Partial<ModelFacts> = {}): Promise<string | null> {
  const { text, note } = await modelCardFor(folder, { ...plainFacts, ...facts });
  t.equal(note, null);
  if (text !== null) writeFileSync(join(folder, 'README.md'), text);
  return text;
}

t.test('what a person adds stays, what was generated is renewed', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'README.md');
  const first = (await written(folder)) ?? '';
  t.equal(await written(folder), first, 'the same facts give the same file');
  const edited = first
    .replace('tags:', '# of mine\nlanguage: fr # French\ntags:')
    .replace(/^---\n\n/m, 'extra: {a: 1.50}\n---\n\nAbove.\n\n')
    .concat('\nBelow.\n');
  writeFileSync(path, edited);
  const second = await written(folder, { versions: { bertune: '9.9.9' } });
  t.equal(second?.replace(/sha256:\w+/, ''), edited.replace('1.2.3', '9.9.9').replace(/sha256:\w+/, ''));
  writeFileSync(path, edited.replaceAll('\n', '\r\n'));
  const { text } = await modelCardFor(folder, { ...plainFacts, versions: { bertune: '9.9.9' } });
  t.equal(text, second?.replaceAll('\n', '\r\n'), 'in its line ends');
  writeFileSync(path, edited);
  const { text: own, note } = await modelCardFor(folder, {
    ...plainFacts,
    languages: ['en'],
    license: 'mit',
  });
  t.match(own, /language: fr # French[^]*license: mit/);
  t.equal(note, `note: ${path} keeps its own language`);
  const withoutEvaluation = await modelCardFor(folder, { ...plainFacts, evaluation: null });
  t.notMatch(withoutEvaluation.text, /model-index:|metrics:\n|## Evaluation/, 'old results go');
});

t.test('another name for the model', async (t) => {
  const folder = t.testdir();
  const regression = { problemType: 'regression', labels: ['LABEL_0'] } as const;
  const variants: Partial<ModelFacts>[] = [
    {},
    { evaluation: null },
    { readsPairs: true },
    { hasOnnx: true },
    { hasOnnx: true, task: regression },
    { isAdapter: true },
    { task: { ...plainFacts.task, labels: ['model="out"', '--model out'] } },
  ];
  for (const facts of variants) {
    const card = async (name: string): Promise<string> =>
      (await modelCardFor(folder, { ...plainFacts, ...facts, name })).text ?? '';
    const own = (text: string): string =>
      text.replace('tags:', '# mine\ntags:').concat('\nmodel="out", --model out\n');
    t.equal(renamedCard(own(await card('out')), 'org/my-model'), own(await card('org/my-model')));
  }
  const card = (await modelCardFor(folder, plainFacts)).text ?? '';
  t.equal(renamedCard('# Mine\n', 'org/my-model'), null);
  t.equal(renamedCard(card.replace('## Labels', '## Classes'), 'org/my-model'), null);
  t.notMatch(renamedCard(card.replaceAll('\n', '\r\n'), 'org/my-model'), /[^\r]\n/);
});

t.test('a file that was edited, or is not ours, stays as it is', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'README.md');
  const card = (await written(folder)) ?? '';
  const cases: [string | Buffer, string][] = [
    ['# Mine\n', 'is not a model card of bertune'],
    ['', 'is not a model card of bertune'],
    [card.slice(0, -30), 'is not a model card of bertune'],
    [Buffer.from([0xff, 0xfe, 0x41]), 'cannot be read as text'],
    [card.replace('## Labels', '## Classes'), 'was edited in its generated part'],
    [card.replace('value: 0.75', 'value: 0.99'), 'was edited in its generated part'],
    [card.replace('- bertune', '- bertune\n- mine'), 'was edited in its generated part'],
    [card.slice(card.indexOf('<!--')), 'was edited in its generated part'],
    [card.replace('tags:', 'mine: &mine [*mine]\ntags:'), 'was edited in its generated part'], // a list that holds itself
  ];
  for (const [content, why] of cases) {
    writeFileSync(path, content);
    t.same(await modelCardFor(folder, plainFacts), {
      text: null,
      note: `note: ${path} ${why}, and so it stays as it is; remove it to get a new model card`,
    });
  }
});

t.test('metadata are replaced key by key', (t) => {
  const replaced = (text: string, keys: string[], entries: Record<string, unknown>): string | undefined =>
    replaceEntries(text, keys, entries)?.text;
  t.equal(replaced('a: 1\nb: 2\n', ['a'], { a: 3 }), 'a: 3\nb: 2\n');
  t.equal(replaced('a: 1\nb: 2\n', ['a'], { a: 3, b: 4 }), 'a: 3\nb: 2\n', 'their own b');
  t.equal(replaced('b: 2\n', [], { a: [1] }), 'b: 2\na:\n- 1\n');
  t.equal(
    replaced('a:\n- 1\n# x\n- 2\nb: |\n  t\n\n  # u\nc: 1\n', ['a', 'c'], {}),
    '# x\nb: |\n  t\n\n  # u\n',
  );
  t.equal(replaced('"a": 1\n\'b\' : 2\n', ['a'], { a: 5 }), "a: 5\n'b' : 2\n");
  t.equal(replaced('{a: 1, b: 2}\n', ['a'], { a: 3 }), undefined, 'not in lines');
  t.equal(replaced('b: "x\na: y"\na: 1\n', ['a'], { a: 3 }), undefined, 'a line that is no key');
  for (const text of ['a: [\n', 'a: 1\na: 2\n', '- a\n', 'a\n'])
    t.equal(readYaml(text), null, JSON.stringify(text));
  t.end();
});

t.test('huggingface_hub reads the card, and what it saves is known again', async (t) => {
  if (python === undefined) return t.comment('BERTUNE_PYTHON is not set: not read with huggingface_hub');
  const other = t.testdir({});
  const files: string[] = [];
  const write = async (facts: ModelFacts): Promise<void> => {
    const { text } = await modelCardFor(other, facts);
    const file = join(other, `card-${files.length}.md`);
    writeFileSync(file, text ?? '');
    files.push(file);
  };
  for (const each of Object.values(fixture.cases)) await write(factsOf(each));
  const names = ['no', '1e3', '2024-01-01', 'a\uFFFEb', '"', "'", 'a: b #c', '\u00e9t\u00e9 \u{1f600}'];
  for (const name of names)
    await write({
      ...plainFacts,
      name,
      evaluation: { on: { name, id: null }, metrics: { eval_accuracy: 1 } },
    });
  const cards: { metadata: Record<string, unknown> }[] = JSON.parse(
    execFileSync(python, [script, ...files], { encoding: 'utf8' }),
  );
  const found = cards.map(({ metadata }) => metadata);
  const expected = Object.values(fixture.cases).map((each) => each.expected);
  t.same(found.slice(0, expected.length), expected);
  found.slice(expected.length).forEach((metadata, i) => {
    const name = names[i]?.replace('\uFFFE', '?');
    t.match(metadata, { 'model-index': [{ name, results: [{ dataset: { name } }] }] });
  });
  const readme = join(other, 'README.md');
  const text = await written(other);
  t.ok(text);
  execFileSync(python, [script, '--save', readme]);
  const again = await modelCardFor(other, { ...plainFacts, license: 'mit' });
  t.equal(again.note, null);
  t.match(again.text, 'license: mit');
});
