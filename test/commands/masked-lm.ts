// bertune train --task masked-lm: from texts to a folder that a classifier is trained from.
import { cpSync, mkdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import tap from 'tap';

import { bertune } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

const folder = tap.testdir();
makeToy(folder, { train: 40, test: 20 });
/** After the first word of each pair there is one that follows from it. */
const PAIRS = ['good film', 'bad plot', 'great actor', 'poor scene', 'fine music', 'dull and'];
const sentence = (row: number): string =>
  Array.from({ length: 4 }, (_, i) => PAIRS[(row * 5 + i * i * 7) % 6]).join(' ');
writeFileSync(
  join(folder, 'train.txt'),
  `${Array.from({ length: 240 }, (_, row) => sentence(row)).join('\n')}\n`,
);
mkdirSync(join(folder, 'runs'));

const MODEL = [
  '--config',
  'model/config.json',
  '--tokenizer',
  'model',
  '--device',
  'cpu',
  '--dtype',
  'float32',
];
const TASK = [
  '--task',
  'masked-lm',
  '--train-file',
  'train.txt',
  '--max-seq-length',
  '20',
  '--quiet',
  '--json',
];
const train = (output: string, ...flags: readonly string[]): ReturnType<typeof bertune> =>
  bertune(['train', ...MODEL, ...TASK, '--output-dir', output, '--learning-rate', '3e-3', ...flags], {
    cwd: folder,
  });

const read = (...path: readonly string[]): string => readFileSync(join(folder, ...path), 'utf8');
const json = (...path: readonly string[]): Record<string, number> =>
  JSON.parse(read(...path)) as Record<string, number>;
const digestOf = (...path: readonly string[]): string =>
  createHash('sha256')
    .update(readFileSync(join(folder, ...path, 'model.safetensors')))
    .digest('hex');

tap.test('a model is trained on texts alone, evaluated, and trained further as a classifier', async (t) => {
  const flags = [
    '--validation-split',
    '0.2',
    '--num-train-epochs',
    '40',
    '--line-by-line',
    '--save-strategy',
    'no',
  ];
  const { code, stderr } = await train('adapted', ...flags, '--eval-strategy', 'epoch');
  t.equal(code, 0, stderr);
  const { log_history: log } = JSON.parse(read('adapted', 'trainer_state.json')) as {
    log_history: Record<string, number>[];
  };
  const losses = log.flatMap(({ eval_loss: loss }) => loss ?? []);
  t.ok((losses.at(-1) ?? NaN) < 0.75 * (losses[0] ?? NaN), `loss ${losses[0]} to ${losses.at(-1)}`);
  const metrics = json('adapted', 'eval_results.json');
  t.equal(metrics['eval_perplexity'], Math.exp(metrics['eval_loss'] ?? NaN));
  t.ok((metrics['eval_accuracy'] ?? 0) > 0.3);
  t.match(JSON.parse(read('adapted', 'config.json')), { architectures: ['BertForMaskedLM'] });
  t.match(read('adapted', 'README.md'), /pipeline_tag: fill-mask/);
  t.match(read('adapted', 'report.html'), /<[^>]+>perplexity<\/[^>]+>/, 'beside the accuracy');
  t.match(read('adapted', 'report.html'), 'Perplexity of the evaluations', 'and its course');

  writeFileSync(
    join(folder, 'held.txt'),
    `${Array.from({ length: 40 }, (_, row) => sentence(row)).join('\n')}\n`,
  );
  const evaluate = ['evaluate', '--model', 'adapted', '--validation-file', 'held.txt', '--dtype', 'float32'];
  t.match(JSON.parse(read('adapted', 'bertune_reading.json')), { lineByLine: true, maxSeqLength: 20 });
  const first = await bertune([...evaluate, '--json', '--quiet'], { cwd: folder });
  t.equal(first.code, 0, first.stderr);
  t.match(JSON.parse(first.stdout), { eval_samples: 40 }, 'rows are made as in the training');
  const second = await bertune([...evaluate, '--json', '--quiet', '--per-device-eval-batch-size', '3'], {
    cwd: folder,
  });
  const [a, b] = [first, second].map(({ stdout }) => JSON.parse(stdout) as Record<string, number>);
  t.equal(a?.['eval_accuracy'], b?.['eval_accuracy'], 'masks do not depend on the batches');
  t.ok(Math.abs((a?.['eval_loss'] ?? NaN) - (b?.['eval_loss'] ?? NaN)) < 1e-5);

  const inReport = await bertune([...evaluate, '--output-dir', 'evaluated', '--quiet'], { cwd: folder });
  t.equal(inReport.code, 0, inReport.stderr);
  const report = JSON.parse(read('evaluated', 'report.json')) as { evaluation: Record<string, unknown> };
  t.match(report.evaluation, { rows: 40, wrongRows: 0 }, 'rows that are no texts are not listed as wrong');
  for (const [flags, message] of [
    [['--predictions-file', 'wrong.csv'], /a masked language model gives none/],
    [['--stride', '4'], /--stride is for models that read a long text whole/],
    [['--label-all-tokens'], /--label-all-tokens is for models that classify tokens/],
  ] as const) {
    const refused = await bertune([...evaluate, ...flags], { cwd: folder });
    t.equal(refused.code, 2, flags.join(' '));
    t.match(refused.stderr, message);
  }

  const classifier = await bertune(
    [
      'train',
      '--model',
      'adapted',
      '--train-file',
      'train.csv',
      '--output-dir',
      'classifier',
      '--max-steps',
      '1',
      '--device',
      'cpu',
    ],
    { cwd: folder },
  );
  t.equal(classifier.code, 0, classifier.stderr);
  t.match(classifier.stderr, /bert\.pooler\.dense is newly initialised/);
  t.match(JSON.parse(read('classifier', 'config.json')), {
    architectures: ['BertForSequenceClassification'],
  });
  const evaluated = ['evaluate', '--model', 'classifier', '--validation-file', 'train.csv'];
  for (const flags of [['--line-by-line'], ['--whole-word-mask'], ['--text-unit', 'paragraph']]) {
    const refused = await bertune([...evaluated, ...flags], { cwd: folder });
    t.equal(refused.code, 2, flags.join(' '));
    t.match(refused.stderr, `${flags.join(' ')} is for masked language models`);
  }
});

tap.test('a resumed run masks what the first would have masked', async (t) => {
  const flags = [
    '--max-steps',
    '12',
    '--save-strategy',
    'steps',
    '--save-steps',
    '6',
    '--mlm-probability',
    '0.3:0.15',
  ];
  const { code, stderr } = await train('runs/whole', ...flags, '--gradient-accumulation-steps', '2');
  t.equal(code, 0, stderr);
  cpSync(join(folder, 'runs/whole'), join(folder, 'runs/resumed'), { recursive: true });
  rmSync(join(folder, 'runs/resumed/model.safetensors'));
  rmSync(join(folder, 'runs/resumed/checkpoint-12'), { recursive: true });
  const again = await train(
    'runs/resumed',
    ...flags,
    '--gradient-accumulation-steps',
    '2',
    '--resume-from-checkpoint',
  );
  t.equal(again.code, 0, again.stderr);
  t.equal(digestOf('runs/resumed'), digestOf('runs/whole'));
  const { code: refused, stderr: why } = await train(
    'runs/resumed',
    ...flags.slice(0, -1),
    '0.2',
    '--gradient-accumulation-steps',
    '2',
    '--resume-from-checkpoint',
  );
  t.equal(refused, 2);
  t.match(why, /mlm-?probability/i);
});

tap.test('texts that are put together', async (t) => {
  writeFileSync(join(folder, 'one.txt'), `${sentence(1)}\n`);
  const packed = (file: string): ReturnType<typeof bertune> =>
    bertune(
      [
        'train',
        ...MODEL,
        ...TASK.slice(0, 2),
        '--train-file',
        file,
        '--output-dir',
        `of-${file}`,
        '--max-steps',
        '1',
      ],
      { cwd: folder },
    );
  t.match((await packed('one.txt')).stderr, /^train: 1 text makes 1 row of /m);
  t.match((await packed('train.txt')).stderr, /^train: 240 texts put together make \d+ rows of /m);
});

tap.test('what does not go together is refused', async (t) => {
  const wrong: [flags: string[], message: RegExp][] = [
    [['--label-column', 'label'], /--label-column does not go with --task masked-lm: there are no labels/],
    [['--lora-rank', '4'], /--lora-rank does not go with --task masked-lm/],
    [['--train-sampling-strategy', 'group_by_length'], /needs --line-by-line/],
    [['--mlm-probability', '0'], /Expected a number above 0 and at most 1, or two such as 0\.3:0\.15/],
    [['--mlm-probability', '0.3:'], /Expected a number above 0/],
    [['--label-smoothing-factor', '0.1'], /--label-smoothing-factor does not go with --task masked-lm/],
    [['--distillation-temperature', '2'], /--distillation-temperature does not go with --task masked-lm/],
  ];
  for (const [flags, message] of wrong) {
    const { code, stderr } = await train('refused', ...flags);
    t.equal(code, 2, flags.join(' '));
    t.match(stderr, message);
  }
  const plain = await bertune(
    ['train', ...MODEL, '--train-file', 'train.csv', '--output-dir', 'refused', '--whole-word-mask'],
    { cwd: folder },
  );
  t.equal(plain.code, 2);
  t.match(plain.stderr, /--whole-word-mask needs --task masked-lm/);
  const ofTokens = await bertune(
    ['train', ...MODEL, '--train-file', 'train.csv', '--output-dir', 'refused', '--label-all-tokens'],
    { cwd: folder },
  );
  t.equal(ofTokens.code, 2);
  t.match(ofTokens.stderr, /--label-all-tokens is for models that classify tokens/);
  const inspected = await bertune(['inspect', '--task', 'masked-lm', '--train-file', 'train.txt'], {
    cwd: folder,
  });
  t.equal(inspected.code, 2);
  t.match(inspected.stderr, /is for train and evaluate/);
});
