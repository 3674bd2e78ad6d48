// Logs beside the log history: event files as TensorBoard writes and reads them, JSON Lines and CSV. Expected records from
// scripts/reference/tensorboard_events.py.
import { execFileSync } from 'node:child_process';
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { parse } from 'csv-parse/sync';
import t from 'tap';

import { InterruptedError, trainingArguments, type TrainerCallback } from '../../dist/index.js';
import {
  restartRecord,
  scalarsRecord,
  versionRecord,
  LogFileCallback,
} from '../../dist/training/reporting.js';
import { timelessLog, toyRun } from '../fixtures/run.js';

interface Fixture {
  time: number;
  version: string;
  restart: { step: number; record: string };
  scalars: { step: number; values: Record<string, number>; record: string }[];
}

const fixture: Fixture = JSON.parse(
  readFileSync(new URL('../fixtures/tensorboard.json', import.meta.url), 'utf8'),
);
const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString('hex');

await t.test('event records are those of TensorBoard, byte for byte', (t) => {
  const { time, version, restart, scalars } = fixture;
  t.equal(hex(versionRecord(time)), version);
  t.equal(hex(restartRecord(time, restart.step)), restart.record);
  for (const { step, values, record } of scalars)
    t.equal(hex(scalarsRecord(time, step, values)), record, `step ${step}`);
  t.end();
});

const settings = {
  numTrainEpochs: 2,
  perDeviceTrainBatchSize: 10,
  loggingSteps: 1,
  evalStrategy: 'epoch',
  reportTo: ['tensorboard', 'jsonl', 'csv'],
} as const;

await t.test('a resumed run leaves the logs of a run that was not interrupted', async (t) => {
  const interrupting: TrainerCallback = {
    onStepEnd: ({ state }) => void (state.global_step === 5 && cut.trainer.interrupt()),
  };
  const args = { ...settings, reportTo: [...settings.reportTo] };
  const cut = await toyRun(t.testdir(), args, { callbacks: [interrupting] });
  await t.rejects(cut.trainer.train(), InterruptedError);
  await cut.close();
  const { trainer, close } = await toyRun(t.testdirName, { ...args, resumeFromCheckpoint: true });
  await trainer.train();
  await trainer.evaluate();
  await close();
  const out = join(t.testdirName, 'out');
  const history = trainer.state.log_history;

  const lines = readFileSync(join(out, 'log_history.jsonl'), 'utf8').trimEnd().split('\n');
  t.same(
    lines.map((line) => JSON.parse(line) as unknown),
    JSON.parse(JSON.stringify(history)),
  );
  const rows: Record<string, string>[] = parse(readFileSync(join(out, 'log_history.csv')), { columns: true });
  t.same(
    rows.map((row) => Object.fromEntries(Object.entries(row).filter(([, value]) => value !== ''))),
    history.map((entry) =>
      Object.fromEntries(Object.entries(entry).map(([name, value]) => [name, String(value)])),
    ),
  );
  t.equal(readdirSync(join(out, 'runs')).length, 2, 'one event file before, one after');

  const python = process.env['BERTUNE_PYTHON'];
  if (python === undefined) return t.comment('BERTUNE_PYTHON is not set: not read with TensorBoard');
  const script = fileURLToPath(new URL('../../scripts/reference/tensorboard_events.py', import.meta.url));
  const found: Record<string, [number, number][]> = JSON.parse(
    execFileSync(python, [script, join(out, 'runs')], { encoding: 'utf8' }),
  );
  const logged = (name: string): [number, number][] =>
    history.flatMap((entry) =>
      name in entry ? [[entry['step'] ?? 0, Math.fround(entry[name] ?? 0)] as const] : [],
    );
  t.same(found['train/loss'], logged('loss'));
  t.same(found['train/learning_rate'], logged('learning_rate'));
  t.same(found['eval/accuracy'], logged('eval_accuracy'));
  t.equal(timelessLog(trainer.state).length, history.length);
});

await t.test('a name that a CSV must quote, and a value that is not a number', async (t) => {
  const folder = t.testdir();
  const csv = new LogFileCallback(folder, 'csv');
  const jsonl = new LogFileCallback(folder, 'jsonl');
  const { trainer, parts, close } = await toyRun(t.testdir({}), {});
  const { state } = trainer;
  const event = {
    args: parts.args,
    state,
    control: { shouldLog: false, shouldEvaluate: false, shouldSave: false, shouldTrainingStop: false },
    model: parts.model,
    tokenizer: parts.tokenizer,
  };
  for (const callback of [csv, jsonl]) await callback.onTrainBegin(event);
  for (const logs of [
    { loss: 0.5, step: 1, epoch: 0.1 },
    { 'eval_f1_a,"b"': Number.NaN, step: 1, epoch: 0.1 },
    { loss: 0.25, step: 2, epoch: 0.2 },
  ]) {
    state.log_history.push(logs);
    for (const callback of [csv, jsonl]) await callback.onLog(event);
  }
  t.equal(
    readFileSync(join(folder, 'log_history.csv'), 'utf8'),
    'step,epoch,loss,"eval_f1_a,""b"""\n1,0.1,0.5,\n1,0.1,,NaN\n2,0.2,0.25,\n',
  );
  t.match(readFileSync(join(folder, 'log_history.jsonl'), 'utf8'), '"eval_f1_a,\\"b\\"":null');
  await close();
});

await t.test('reportTo', (t) => {
  const of = (reportTo: unknown): unknown =>
    trainingArguments({ outputDir: 'o', reportTo } as never).reportTo;
  t.same(of('none'), []);
  t.same(of(['none']), []);
  t.same(of('csv'), ['csv']);
  t.same(of(['csv', 'jsonl', 'csv']), ['csv', 'jsonl']);
  const message = (word: string): string =>
    `Expected none, or some of tensorboard, jsonl, csv for reportTo but received "${word}"; a callback sends logs elsewhere, see examples/callbacks.ts`;
  t.throws(() => of('wandb'), { message: message('wandb') });
  t.throws(() => of(['csv', 'all']), { message: message('all') });
  t.throws(() => of(['csv', 'none']), { message: /^Expected none, or some of .* but received an array/ });
  t.end();
});
