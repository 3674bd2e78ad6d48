// `bertune init`: the configuration that it writes holds what is in the data, and trains as it is.
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import tap from 'tap';
import { init } from '../../dist/commands/init.js';
import { UsageError } from '../../dist/index.js';
import { suggest, tokenLengths, foreignLetters } from '../../dist/inspection/suggest.js';
import { parseInitOptions, parseTrainOptions } from '../../dist/options/index.js';
import { taskOf } from '../../dist/tasks/index.js';
import { bertune } from '../fixtures/cli.js';
import { workspace, json, succeeded } from '../fixtures/workspace.js';

type TrainOptions = ReturnType<typeof parseTrainOptions>['options'];

/** Writes the data and the configuration into a folder of their own. */
async function written(
  folder: string,
  name: string,
  content: string | Buffer,
  flags: Record<string, unknown> = {},
): Promise<{ text: string; options: TrainOptions }> {
  mkdirSync(folder, { recursive: true });
  const [trainFile, configFile] = [join(folder, name), join(folder, 'bertune.yaml')];
  writeFileSync(trainFile, content);
  await init(parseInitOptions({ flags: { trainFile: [trainFile], configFile, ...flags } }).options);
  const text = readFileSync(configFile, 'utf8');
  const { options, notes } = parseTrainOptions({ file: { path: configFile, text } });
  tap.same(notes, [], 'nothing to remark');
  for (const alternative of text.matchAll(/^# (\w+): .*/gm))
    requireParses(text, alternative[0], alternative[1] ?? '');
  return { text, options };
}

/** An alternative takes the place of the line with its name. */
function requireParses(text: string, line: string, name: string): void {
  const rival = name === 'validation_file' ? 'validation_split' : name;
  const others = text.split('\n').filter((own) => own !== line && !own.startsWith(`${rival}:`));
  const path = 'alternative.yaml';
  tap.doesNotThrow(
    () => parseTrainOptions({ file: { path, text: [...others, line.slice(2)].join('\n') } }),
    line,
  );
}

function csv(rows: readonly string[]): string {
  return `${rows.join('\n')}\n`;
}

tap.test('a file in another encoding is read in it, not without its rows', async (t) => {
  const texts = [
    'Der Film war sch\u00f6n und gro\u00dfartig',
    'a dull plot',
    'tr\u00e8s dr\u00f4le, un \u00e9t\u00e9 \u00e0 No\u00ebl',
    'a fine film',
  ];
  const rows = Array.from({ length: 40 }, (_, i) => `"${texts[i % 4]}",${i % 4 < 2 ? 'pos' : 'neg'}`);
  const content = Buffer.from(csv(['text,label', ...rows]), 'latin1');
  const folder = t.testdir();
  const { text, options } = await written(folder, 'latin1.csv', content);
  t.match(text, '# 40 rows, read from');
  t.match(options, { encoding: 'windows-1252', badRows: 'stop' });
  const found = await bertune(['inspect', 'latin1.csv', '--json'], { cwd: folder });
  t.match(JSON.parse(found.stdout), {
    rows: 40,
    badRows: 0,
    columns: [{ name: 'text', missing: 0, different: 4, values: { [texts[0] ?? '']: 10 } }, {}],
  });
  t.match(found.stderr, 'note: the data are not UTF-8 and are read with --encoding windows-1252');
});

tap.test('trains as it is, and is not overwritten', async (t) => {
  const { here, read, write } = workspace(t.testdir());
  const model = ['--config', 'model/config.json', '--tokenizer', 'model'];
  succeeded(t, 'init', await bertune(['init', 'train.csv', ...model], here));
  const text = String(read('bertune.yaml'));
  t.match(text, '# 60 rows, read from "text", "label".');
  t.match(text, 'label_column: label  # neg 30, pos 30');
  t.match(text, '\nlearning_rate: 5.0e-4  ', 'as a number that YAML 1.1 knows too, such as Python reads');
  const trained = await bertune(['train', 'bertune.yaml', '--threads', '1', '--num-train-epochs', '2'], here);
  succeeded(t, 'train', trained);
  t.equal(json(trained.stdout)['eval_samples'], 12, 'a fifth of the rows was set aside');

  const weights = read('out/model.safetensors');
  const config = json(read('out/training_options.json'));
  t.same(
    Object.keys(config).slice(0, 3),
    ['config', 'tokenizer', 'problemType'],
    'what decides the run is first',
  );
  write('out/model.safetensors', 'gone');
  succeeded(t, 'train again', await bertune(['train', 'out/training_options.json'], here));
  t.ok(read('out/model.safetensors').equals(weights), 'training_options.json repeats the run');

  write('bertune.yaml', 'mine: 1\n');
  const again = await bertune(['init', 'train.csv'], here);
  t.equal(again.code, 2);
  t.equal(
    again.stderr,
    'bertune: bertune.yaml is there already; --force replaces it, --config-file names another\n',
  );
  t.equal(String(read('bertune.yaml')), 'mine: 1\n');
  succeeded(t, 'init --force', await bertune(['init', 'train.csv', ...model, '--force'], here));
  t.equal(String(read('bertune.yaml')), text);
  const named = await bertune(['init', 'train.csv', ...model, '--config-file', 'my run.yaml'], here);
  const command = 'npx bertune train "my run.yaml"';
  t.ok(named.stderr.endsWith(`: ${command}\n`), named.stderr);
  t.match(String(read('my run.yaml')), `# Train with it: ${command}\n`);
});

tap.test('what is in the data', async (t) => {
  const folder = t.testdir();
  const lists = Array.from({ length: 12 }, (_, i) =>
    JSON.stringify({ body: `text ${i}`, tags: i % 3 === 0 ? ['a', 'b'] : i % 3 === 1 ? ['b'] : [] }),
  );
  const multi = await written(join(folder, 'multi'), 'a.jsonl', csv(lists), {
    textColumn: 'body',
    labelColumn: ['tags'],
  });
  t.match(multi.options, {
    problemType: 'multi_label_classification',
    textColumn: 'body',
    labelColumn: ['tags'],
    metricForBestModel: 'loss',
    validationSplit: 0.2,
  });
  t.match(multi.text, 'label_column: tags  # b 8, a 4');

  const numbers = [
    'sentence1,sentence2,score',
    ...Array.from({ length: 10 }, (_, i) => `one ${i},two,${i / 4}`),
  ];
  const pairs = await written(join(folder, 'pairs'), 'a.csv', csv(numbers));
  t.match(pairs.options, {
    problemType: 'regression',
    textColumn: 'sentence1',
    textPairColumn: 'sentence2',
    metricForBestModel: 'loss',
  });
  t.match(pairs.text, '# numbers from 0 to 2.25, mean 1.125');
  t.notMatch(pairs.text, 'label_list');

  const rare = [
    'text;label',
    ...Array.from({ length: 40 }, (_, i) => `a film ${i};${i % 10 === 0 ? 'spam' : 'ham'}`),
    'without',
  ];
  const validationFile = join(folder, 'uneven', 'a.csv');
  const uneven = await written(join(folder, 'uneven'), 'a.csv', csv(rare), {
    validationFile: [validationFile],
  });
  t.match(uneven.options, {
    badRows: 'skip',
    metricForBestModel: 'loss',
    validationFile: [validationFile],
  });
  t.equal(uneven.options.validationSplit, undefined, 'rows of their own are taken');
  t.match(uneven.text, '# 40 rows and 2 bad rows, read from');
  t.match(
    uneven.text,
    '# class_weights: balanced  # the most frequent label is 9 times as frequent as the rarest',
  );

  const russian = ['text,label', ...Array.from({ length: 10 }, (_, i) => `хороший фильм ${i},${i % 2}`)];
  const foreign = await written(join(folder, 'foreign'), 'a.csv', csv(russian));
  t.equal(foreign.options.model, 'xlm-roberta-base');
});

tap.test('names and labels that YAML would take for something else', async (t) => {
  const labels = ['yes: #1', '"a\nb"', 'null', "it's"];
  const rows = Array.from({ length: 12 }, (_, i) => `some text,${labels[i % 4]?.replace('"a', '"a') ?? ''}`);
  const { options, text } = await written(join(t.testdir(), 'odd'), 'a.csv', csv(['no,12', ...rows]), {
    textColumn: 'no',
    labelColumn: ['12'],
    outputDir: 'a: b # c',
  });
  t.match(options, { textColumn: 'no', labelColumn: ['12'], outputDir: 'a: b # c' });
  t.match(text, 'a\\nb 3', 'a line break in a label does not end its comment');
});

tap.test('suggestions', (t) => {
  const task = taskOf('single_label_classification', ['a', 'b']);
  const labels = { kind: 'counts', counts: { a: 6, b: 6 }, withoutLabel: 0 } as const;
  const of = (rows: number, p99: number, positions = 512): object =>
    suggest(rows, { task, labels, positions, lengths: { median: 9, p99, longest: 999, isCounted: true } });
  t.match(of(100, 30), {
    maxSeqLength: 64,
    batchSize: 8,
    epochs: 10,
    learningRate: 5e-5,
    metric: 'loss',
  });
  t.match(of(10_000, 65), {
    maxSeqLength: 128,
    batchSize: 16,
    epochs: 3,
    learningRate: 2e-5,
    metric: 'accuracy',
  });
  const of9to1 = suggest(10_000, {
    task,
    labels: { ...labels, counts: { a: 9, b: 1 } },
    positions: 512,
    lengths: { median: 9, p99: 30, longest: 99, isCounted: true },
  });
  t.equal(of9to1.metric, 'f1_macro');
  t.match(of(1_000_000, 3000), { maxSeqLength: 512, batchSize: 32, epochs: 2 });
  t.match(of(100, 3000, 40), { maxSeqLength: 40 }, 'no more than the model has');
  const examples = Array.from({ length: 100 }, (_, i) => ({ text: 'word '.repeat(i + 1) }));
  // One token a word, and [CLS] and [SEP]: nearest-rank quantiles of 3 to 102.
  t.same(tokenLengths(examples, null), { median: 52, p99: 101, longest: 102, isCounted: false });
  t.equal(tokenLengths([{ text: '今天 天气', textPair: 'a b' }], null).longest, 9, 'ideographs one each');
  t.equal(foreignLetters([{ text: 'abc 12 äöü!' }]), 0.5);
  t.equal(foreignLetters([{ text: '12' }]), 0);
  t.end();
});

tap.test('what cannot be', async (t) => {
  const folder = t.testdir({ 'a.csv': 'text,label\na,b\nb,c\n' });
  const asked = (flags: Record<string, unknown>): Promise<unknown> =>
    Promise.resolve()
      .then(() => init(parseInitOptions({ flags: { trainFile: [join(folder, 'a.csv')], ...flags } }).options))
      .catch((error: unknown) => error);
  const refused: [Record<string, unknown>, RegExp][] = [
    [{ configFile: 'a.json' }, /--config-file a.json is written as YAML; give it the ending .yaml/],
    [{ configFile: join(folder, 'no/such.yaml') }, /such\.yaml/],
    [{ trainFile: [] }, /--train-file is needed/],
    [{ trainFile: ['nothing.csv'] }, /nothing\.csv/],
    [{ learningRate: '1' }, /--learning-rate has no meaning for `bertune init`/],
    [{ outputFile: 'a.yaml' }, /did you mean --config-file\?/],
  ];
  for (const [flags, message] of refused) {
    const error = await asked(flags);
    t.ok(error instanceof Error, JSON.stringify(flags));
    t.match(error, { message });
    if (!('configFile' in flags && String(flags['configFile']).includes('no/such')))
      t.ok(error instanceof UsageError);
  }
});
