// What a command says by the way: a model that is about to be replaced, labels that nothing teaches, one row and two rows,
// the option that was meant, and where the metrics are for people and for programs.
import { existsSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { modelAndTokenizer } from '../../dist/commands/model-source.js';
import { chanceNote } from '../../dist/commands/notes.js';
import { normalizeArgs, commands } from '../../dist/options/index.js';
import { Progress } from '../../dist/terminal/progress.js';
import { createMetrics, taskKinds, type ProblemType } from '../../dist/tasks/index.js';
import { bertune, flags, startBertune, type Options, type Outcome } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 24, test: 8 });

const training: Options = {
  threads: '1',
  'dataloader-num-workers': '0',
  config: 'model/config.json',
  tokenizer: 'model',
  'train-file': 'train.csv',
  'validation-file': 'test.csv',
  'max-steps': '1',
  'save-strategy': 'no',
  'output-dir': 'out',
};

function train(options: Options = {}, isTerminal = false): Promise<Outcome> {
  return bertune(['train', ...flags({ ...training, ...options })], { cwd: folder, isTerminal });
}

function write(name: string, lines: readonly string[]): string {
  writeFileSync(join(folder, name), `${['text,label', ...lines].join('\n')}\n`);
  return name;
}

function fourDigits(value: number): number {
  return Number(value < 1e-3 ? value.toExponential(2) : value.toPrecision(4));
}

t.test('a run that resumes does not start from random weights', async (t) => {
  const notesOf = async (outputDir: string, resumeFromCheckpoint?: string | boolean): Promise<string[]> => {
    const lines: string[] = [];
    const progress = new Progress({ write: (line: string) => lines.push(line) });
    const config = join(folder, 'model/config.json');
    const options = { config, tokenizer: join(folder, 'model'), outputDir };
    await modelAndTokenizer({ ...options, ...(resumeFromCheckpoint && { resumeFromCheckpoint }) }, progress);
    return lines;
  };
  const [empty, resumable] = [join(folder, 'empty'), join(folder, 'resumable')];
  mkdirSync(join(resumable, 'checkpoint-2'), { recursive: true });
  for (const [outputDir, request, expected] of [
    [empty, false, 1],
    [empty, 'auto', 1],
    [resumable, false, 1],
    [resumable, 'auto', 0],
    [resumable, true, 0],
    [empty, join(resumable, 'checkpoint-2'), 0],
  ] as const) {
    const lines = await notesOf(outputDir, request);
    const found = lines.filter((line) => line.startsWith('Starting from random weights'));
    t.equal(found.length, expected, `${outputDir} ${request}`);
  }
});

t.test('metrics: JSON for programs, a summary last for people', async (t) => {
  const piped = await train();
  t.notMatch(piped.stderr, /holds a model|no training row/);
  const file = readFileSync(join(folder, 'out/all_results.json'), 'utf8');
  t.strictSame(JSON.parse(piped.stdout), JSON.parse(file));
  const shown = await train({}, true);
  t.match(shown, { code: 0, stdout: /^\ntrain_loss +\d\.\d+\n(?:\w+ +\S+\n)*eval_loss +\d\.\d+\n/ });
  const asked = await train({ json: true }, true);
  t.same(Object.keys(JSON.parse(asked.stdout) as object), Object.keys(JSON.parse(file) as object));
  for (const { stderr } of [piped, shown]) t.match(stderr, /^All metrics are in out\/all_results\.json\.$/m);
  const folds: Options = { 'cross-validation': '2', 'validation-file': undefined };
  const crossed = await train(folds, true);
  t.match(crossed, {
    code: 0,
    stdout: /^\nmetric +mean of 2 folds +deviation\neval_loss +\d\.\d+ +\d\S+\neval_accuracy +\d\S* +\d\S*\n/,
  });
  t.notMatch(crossed.stderr, 'mean of', 'once');
  const [, mean, deviation] = /^eval_loss +(\S+) +(\S+)$/m.exec(crossed.stdout) ?? [];
  const { folds: losses } = JSON.parse(readFileSync(join(folder, 'out/cross_validation.json'), 'utf8')) as {
    folds: { eval_loss: number }[];
  };
  const [a = 0, b = 0] = losses.map(({ eval_loss: loss }) => loss);
  t.match([mean, deviation].map(Number), [(a + b) / 2, Math.abs(a - b) / Math.SQRT2].map(fourDigits));
  t.notMatch(crossed.stderr, /holds a model/, 'no model is saved');
});

t.test('a model that is there already', async (t) => {
  const note = /^note: out holds a model already; that of this training will replace it$/m;
  t.match((await train()).stderr, note);
  const { code, stderr } = await train({ 'resume-from-checkpoint': 'auto' });
  t.equal(code, 0, stderr);
  t.match(stderr, note, 'there was no checkpoint to resume from');
  const checkpoints = { 'save-strategy': 'steps', 'save-steps': '1', 'resume-from-checkpoint': 'auto' };
  t.match((await train(checkpoints)).stderr, note);
  t.notMatch((await train(checkpoints)).stderr, /holds a model/, 'the same run continues');
});

t.test('new weights are logged, and not at a resume', async (t) => {
  t.equal((await train()).code, 0);
  const note = /^note: classifier is newly initialised: the checkpoint's is for 2 labels, not 3$/m;
  const other: Options = {
    config: undefined,
    tokenizer: undefined,
    model: 'out',
    'train-file': write('three.csv', ['good,a', 'bad,b', 'dull,c']),
    'label-list': ['a', 'b', 'c'],
    'validation-file': undefined,
    'save-strategy': 'steps',
    'save-steps': '1',
    'output-dir': 'three',
  };
  const first = await train(other);
  t.match(first, { code: 0, stderr: note });
  t.equal(first.stderr.split(/newly initialised/i).length, 2, 'once');
  const resumed = await train({ ...other, 'max-steps': '2', 'resume-from-checkpoint': 'auto' });
  t.match(resumed, { code: 0, stderr: 'Resuming from three/checkpoint-1' });
  t.notMatch(resumed.stderr, /newly initialised/i);
});

t.test('checkpoints of an earlier training, and a training that is complete', async (t) => {
  const own = { 'output-dir': 'earlier', 'save-strategy': 'epoch' };
  t.notMatch((await train(own)).stderr, 'earlier training');
  const note =
    /note: earlier holds checkpoints of an earlier training, the last at checkpoint-1; which --resume-from-checkpoint resumes\. Remove/;
  t.match((await train({ ...own, 'max-steps': '2', 'save-strategy': 'no' })).stderr, note);
  const resumed = await train({ ...own, 'resume-from-checkpoint': 'auto', 'learning-rate': '1e-3' });
  t.match(resumed, {
    code: 0,
    stderr:
      /step 1 of 1\nnote: that training is complete; to train further, raise --num-train-epochs or --max-steps/,
  });
  t.match(resumed.stderr, /with which the model was trained: --learning-rate was 0\.00005 and is now 0\.001/);
  t.notMatch(resumed.stderr, /earlier training|will differ/);
});

t.test('of several trainings in a folder the latest is resumed', async (t) => {
  const own = { 'output-dir': 'several', 'save-strategy': 'steps', 'save-steps': '2' };
  const first = { ...own, 'max-steps': '6' };
  t.equal((await train(first)).code, 0);
  t.notOk(existsSync(join(folder, 'several/bertune_run.json')), 'one training needs no mark');
  // Killed before its first checkpoint, and after it: in either case lower steps than those that lie there.
  const second = { ...own, seed: '7', 'max-steps': '9' };
  rmSync(join(folder, 'several/checkpoint-2'), { recursive: true });
  const auto = { 'resume-from-checkpoint': 'auto' };
  const killed = startBertune(['train', ...flags({ ...training, ...second, 'max-steps': '100000' })], {
    cwd: folder,
  });
  while (!/Training on/.test(killed.stderr())) await sleep(5);
  while (!existsSync(join(folder, 'several/bertune_run.json'))) await sleep(1);
  killed.kill('SIGKILL');
  await killed.outcome;
  for (const name of readdirSync(join(folder, 'several')))
    if (name.startsWith('checkpoint-') && !['checkpoint-4', 'checkpoint-6'].includes(name))
      rmSync(join(folder, 'several', name), { recursive: true });
  const refused = await train({ ...second, 'resume-from-checkpoint': true });
  t.match(refused, {
    code: 2,
    stderr: /has no checkpoint to resume from; leave .* such as several\/checkpoint-6$/m,
  });
  const restarted = await train({ ...second, 'max-steps': '3', ...auto });
  t.match(
    restarted.stderr,
    /The latest training in several has no checkpoint to resume from: starting at the beginning\. To resume an earlier one, name its checkpoint: --resume-from-checkpoint several\/checkpoint-6$/m,
  );
  const went = await train({ ...second, 'max-steps': '3', ...auto });
  t.match(went.stderr, 'Resuming from several/checkpoint-3 at step 3 of 3');
  const named = await train({ ...first, 'resume-from-checkpoint': 'several/checkpoint-6' });
  t.match(named.stderr, 'Resuming from several/checkpoint-6 at step 6 of 6');
  t.match((await train({ ...first, ...auto })).stderr, 'Resuming from several/checkpoint-6');
});

t.test('labels that only validation rows have', async (t) => {
  const rows = write('new.csv', ['good,pos', 'fine,mixed', 'bad,neg', 'so so,mixed', 'hm,odd']);
  t.match(
    (await train({ 'validation-file': rows })).stderr,
    'note: 2 labels have no training row: "mixed" in 2 of 5 validation rows, "odd" in 1 of 5 validation rows, ' +
      'e.g. new.csv line 3; the model cannot learn them\n',
  );
  const lists = join(folder, 'lists.jsonl');
  writeFileSync(lists, '{"text":"a","labels":["x"]}\n{"text":"b","labels":["y"]}\n');
  writeFileSync(join(folder, 'more.jsonl'), '{"text":"c","labels":["x","z"]}\n');
  t.match(
    (await train({ 'train-file': 'lists.jsonl', 'validation-file': 'more.jsonl' })).stderr,
    'note: 1 label has no training row: "z" in 1 of 1 validation row, e.g. more.jsonl line 1; the model cannot learn it\n',
  );
  // Of a share of the training rows each side is counted by itself; none of the toy's two labels is so rare.
  const share = await train({ 'validation-file': undefined, 'validation-split': '0.25' });
  t.match(share.stderr, /Set aside for validation: \d/);
  t.notMatch(share.stderr, /no training row/);
});

t.test('examples show what the model was given and what it gave', async (t) => {
  const rows = Array.from({ length: 4 }, (_, i) => `good film,bad plot,${i}.5`);
  writeFileSync(join(folder, 'pairs.csv'), `${['text,pair,label', ...rows].join('\n')}\n`);
  const own = { 'train-file': 'pairs.csv', 'validation-file': 'pairs.csv', 'text-pair-column': 'pair' };
  const { stderr } = await train({ ...own, 'problem-type': 'regression' });
  t.match(stderr, /^Task: regression$/m);
  t.match(stderr, /^ {2}-?[\d.e-]+, labelled 0\.5: good film \| bad plot$/m);
  // The texts are all the same, and so is what is predicted for them.
  t.match(stderr, /^note: the model does not distinguish the validation rows: .*R2 at most 0/m);
  const args = ['evaluate', '--model', 'out', '--validation-file', 'pairs.csv', '--text-pair-column', 'pair'];
  t.match((await bertune(args, { cwd: folder })).stderr, /^note: .*R2 at most 0/m);
  const named = await train();
  t.match(named.stderr, /^Task: single_label_classification, labels \S+, \S+$/m);
  t.match(named.stderr, /^ {2}\w+ \(0\.\d+\), labelled \w+: /m);
});

t.test('a model that is no better than chance', (t) => {
  const labels = ['a', 'b'];
  const note = (problemType: ProblemType, logits: number[], values: number[]): string => {
    const isSingle = problemType === 'single_label_classification';
    const names = problemType === 'regression' ? ['value'] : labels;
    const metrics = createMetrics({ problemType, labels: names });
    const rows = logits.length / names.length;
    metrics.add(
      Float32Array.from(logits),
      isSingle ? Int32Array.from(values) : Float32Array.from(values),
      rows,
    );
    const named = Object.entries(metrics.result()).map(([name, value]) => [`eval_${name}`, value] as const);
    return chanceNote(taskKinds[problemType], Object.fromEntries(named)).join();
  };
  const single = 'single_label_classification';
  t.match(note(single, [1, 0, 1, 0, 1, 0], [0, 1, 0]), /no better than chance/, 'one label for all');
  t.match(note(single, [0, 1, 1, 0], [0, 1]), /no better than chance/, 'all of them wrong');
  t.equal(note(single, [1, 0, 0, 1, 1, 0], [0, 1, 1]), '');
  t.equal(note(single, [9, 0, 5, 0, 8, 0], [0, 1, 0]), '', 'one label for all, but the scores are in order');
  t.equal(note(single, [1, 0, 1, 0, 0, 1], [0, 0, 0]), '', 'rows of one label, most of them right');
  const multi = 'multi_label_classification';
  t.match(note(multi, [-1, -1, -1, -1], [1, 0, 0, 1]), /gives no label that is right/);
  t.equal(note(multi, [-1, -1, 1, -1], [1, 0, 1, 0]), '');
  t.equal(note(multi, [-1, -1], [0, 0]), '', 'there was none to give');
  t.match(note('regression', [2, 2, 2], [1, 2, 3]), /R2 at most 0/, 'the mean');
  t.equal(note('regression', [1.5, 2, 2.5], [1, 2, 3]), '');
  t.end();
});

t.test('a text as header, the length of the training, and a training that was ended', async (t) => {
  writeFileSync(join(folder, 'headless.csv'), 'the film was good\nthe plot was bad\n');
  const predict = (model: string): Promise<Outcome> =>
    bertune(
      ['predict', '--model', model, '--test-file', 'headless.csv', '--text-column', 'the film was good'],
      { cwd: folder },
    );
  const own = { 'output-dir': 'short', 'max-seq-length': '4', 'num-train-epochs': '1' };
  const trained = await train({ ...own, 'max-steps': undefined, 'save-strategy': 'epoch' });
  const { stderr } = await predict('short');
  t.match(stderr, /^note: "the film was good" is taken as the header; if it is a text, write a first line/m);
  t.match(stderr, /^note: read as in the training: --max-seq-length 4$/m);
  const evaluate = (...more: string[]): Promise<Outcome> =>
    bertune(['evaluate', '--model', 'short', '--validation-file', 'test.csv', ...more], { cwd: folder });
  const lossOf = ({ stdout }: Outcome): unknown =>
    (JSON.parse(stdout) as Record<string, unknown>)['eval_loss'];
  t.equal(lossOf(await evaluate()), lossOf(trained), 'the figures of the training');
  const longer = await evaluate('--max-seq-length', '16');
  t.not(lossOf(longer), lossOf(trained));
  t.match(
    longer.stderr,
    /^note: other than in the training: --max-seq-length 16 in place of --max-seq-length 4$/m,
  );
  for (const name of ['config.json', 'model.safetensors']) rmSync(join(folder, 'short', name));
  t.match(await predict('short'), {
    code: 2,
    stderr: /short has no config\.json, only checkpoints .* use one of them, such as short\/checkpoint-3$/m,
  });
});

t.test('a training that stops before its last step is reported', async (t) => {
  const watched = { 'eval-strategy': 'steps', 'eval-steps': '1', 'max-steps': '6' };
  const hopeless = { 'early-stopping-patience': '1', 'early-stopping-threshold': '9' };
  const { stderr } = await train({ ...watched, ...hopeless });
  t.match(
    stderr,
    /^Stopped at step 2 of 6: loss had not improved by more than 9 for as long as --early-stopping-patience 1 /m,
  );
  t.notMatch((await train()).stderr, /^Stopped/m);
});

t.test('one row', async (t) => {
  const inspect = (...lines: string[]): Promise<Outcome> =>
    bertune(['inspect', write('rows.csv', lines)], { cwd: folder });
  const once = (await inspect('a,x', 'b,y', 'a,x')).stdout;
  t.match(once, /^1 row repeats an earlier text with the same label, e\.g\. rows\.csv line 2 and rows/m);
  t.match((await inspect('a,x', 'b,y', 'a,x', 'b,y')).stdout, /^2 rows repeat an earlier text with/m);
  t.match((await inspect('a,x', 'b,y', 'a,y')).stdout, /^1 text has different labels in 2 rows/m);

  const [row = ''] = readFileSync(join(folder, 'train.csv'), 'utf8').split('\n').slice(1);
  const { stderr } = await train({ 'validation-file': write('one.csv', [row]) });
  t.match(stderr, /^validation: 1 row, text from/m);
  t.match(
    stderr,
    /^note: 1 of 1 validation row \(100\.0 %\) is also a training row, e\.g\. one\.csv line 2/m,
  );
  const predicted = await bertune(['predict', '--model', 'out', '--test-file', 'one.csv'], { cwd: folder });
  t.match(predicted.stderr, /^1 prediction written to standard output$/m);
});

t.test('options of another command', (t) => {
  const cases: [command: string, option: string, meant: string][] = [
    ['predict', '--validation-file', '--test-file'],
    ['predict', '--train-file', '--test-file'],
    ['predict', '--output-dir', '--output-file'],
    ['evaluate', '--test-file', '--validation-file'],
    ['evaluate', '--train_file', '--validation-file'],
    ['train', '--test-file', '--validation-file'],
    ['inspect', '--validation-file', '--train-file'],
  ];
  const refusal = (command: string, option: string): string => {
    const table = commands.find(({ name }) => name === command);
    if (table === undefined) throw new Error(`no command ${command}`);
    return thrownBy(() => normalizeArgs([option, 'a.csv'], table));
  };
  for (const [command, option, meant] of cases)
    t.equal(
      refusal(command, option),
      `${option} has no meaning for \`bertune ${command}\`; did you mean ${meant}?`,
    );
  t.equal(refusal('merge', '--test-file'), '--test-file has no meaning for `bertune merge`');
  t.end();
});

function thrownBy(work: () => unknown): string {
  try {
    return String(work());
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
