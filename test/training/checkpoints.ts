// Checkpoints: what is in them, which of them stay, which is the best, going on from one bit for bit, and what a killed
// process leaves of them.
import { spawnSync } from 'node:child_process';
import {
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import fsPromises from 'node:fs/promises';
import { syncBuiltinESMExports } from 'node:module';
import { basename, dirname, join } from 'node:path';
import t from 'tap';

import { BertForSequenceClassification, parseBertConfig, type TrainerCallback } from '../../dist/index.js';
import { openSafetensors } from '../../dist/formats/safetensors.js';
import { verifyChecksums, writeChecksums } from '../../dist/training/checkpoint.js';
import { removeLeftovers } from '../../dist/training/output-folder.js';
import { isBetter, tieNote, type TrainerState } from '../../dist/training/state.js';
import { bytesOf } from '../fixtures/model-files.js';
import { largestDifference, scripted, timelessLog, toyRun, weightsOf } from '../fixtures/run.js';
import { TOY_CONFIG } from '../fixtures/toy.js';

await t.test('a resumed run ends with the same bits as one that was not interrupted', async (t) => {
  // 41 rows, batch 4, accumulation 3: 4 steps an epoch, the last one short; step 6 lies inside the second epoch
  const settings = {
    numTrainEpochs: 3,
    perDeviceTrainBatchSize: 4,
    gradientAccumulationSteps: 3,
    loggingSteps: 5,
  };
  const sizes = { train: 41, test: 20 };
  const whole = await toyRun(t.testdir(), { ...settings, saveStrategy: 'steps', saveSteps: 6 }, { sizes });
  await whole.trainer.train();
  const weights = await weightsOf(whole.model);
  const log = timelessLog(whole.trainer.state);
  await whole.close();

  const folder = join(t.testdirName, 'out');
  t.same(readdirSync(folder).toSorted(), ['checkpoint-12', 'checkpoint-6'], 'no temporary folder is left');
  rmSync(join(folder, 'checkpoint-12'), { recursive: true });
  const again = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: true }, { sizes });
  await again.trainer.train();
  t.equal(largestDifference(weights, await weightsOf(again.model)), 0);
  t.same(timelessLog(again.trainer.state), log);
  await again.close();

  const other = await toyRun(t.testdirName, { ...settings, seed: 7, resumeFromCheckpoint: true }, { sizes });
  await t.rejects(other.trainer.train(), { message: /seed was 42 and is now 7/ });
  await other.close();
});

await t.test(
  'every checkpoint leads to the same end, whatever is due with steps and what with epochs',
  async (t) => {
    const mixes = [
      { loggingStrategy: 'epoch', evalStrategy: 'epoch' },
      { loggingStrategy: 'steps', loggingSteps: 2, evalStrategy: 'epoch', lrSchedulerType: 'greedy' },
      {
        loggingStrategy: 'epoch',
        evalStrategy: 'steps',
        evalSteps: 2,
        lrSchedulerType: 'reduce_lr_on_plateau',
        lrSchedulerKwargs: { patience: 0, threshold: 0.5 },
      },
    ] as const;
    for (const mix of mixes) {
      const settings = {
        ...mix,
        numTrainEpochs: 3,
        perDeviceTrainBatchSize: 14, // 3 steps an epoch
        saveStrategy: 'steps',
        saveSteps: 1,
        metricForBestModel: 'loss',
        earlyStoppingPatience: 2,
        earlyStoppingThreshold: 0.5, // so that the third evaluation ends it
      } as const;
      const whole = await toyRun(t.testdir(), settings);
      await whole.trainer.train();
      const log = timelessLog(whole.trainer.state);
      const weights = await weightsOf(whole.model);
      await whole.close();
      const last = whole.trainer.state.global_step;
      for (let step = 1; step <= last; step++) {
        const folder = join(t.testdirName, 'out', `checkpoint-${step}`);
        const again = await toyRun(t.testdirName, {
          ...settings,
          saveSteps: 100,
          resumeFromCheckpoint: folder,
        });
        await again.trainer.train();
        const name = `${JSON.stringify(mix)} from ${step} of ${last}`;
        t.same(timelessLog(again.trainer.state), log, name);
        t.equal(largestDifference(weights, await weightsOf(again.model)), 0, name);
        await again.close();
      }
    }
  },
);

await t.test('checkpoints: best and newest stay, and the best is loaded at the end', async (t) => {
  let atEnd: Float32Array | undefined;
  const { trainer, model, close } = await toyRun(
    t.testdir(),
    {
      numTrainEpochs: 4,
      evalStrategy: 'epoch',
      saveStrategy: 'epoch',
      saveTotalLimit: 2,
      loadBestModelAtEnd: true,
      metricForBestModel: 'score',
      greaterIsBetter: true,
    },
    {
      computeMetrics: scripted([1, 3, 2, 2]),
      callbacks: [{ onTrainEnd: async () => void (atEnd = await model.session.read('classifier.weight')) }],
    },
  );
  await trainer.train();
  const { best_model_checkpoint: best, best_metric: metric, log_history: history } = trainer.state;
  t.equal(history.filter((entry) => 'eval_loss' in entry).length, 4, 'one evaluation an epoch');
  t.equal(metric, 3);
  t.match(best, /checkpoint-10$/);
  t.same(readdirSync(join(t.testdirName, 'out')).toSorted(), ['checkpoint-10', 'checkpoint-20']);
  const saved = await openSafetensors(join(best ?? '', 'model.safetensors'));
  const bytes = await bytesOf(saved.tensors.get('classifier.weight'));
  const loaded = await model.session.read('classifier.weight');
  t.same(
    Buffer.from(loaded.buffer),
    Buffer.from(bytes),
    'the weights in memory are those of the best checkpoint',
  );
  t.same([...(atEnd ?? [])], [...loaded], 'and were when callbacks were told of the end, as in HF');
  await saved.close();
  await close();
});

await t.test('the files of a checkpoint', async (t) => {
  const { trainer, close } = await toyRun(t.testdir(), { maxSteps: 2, saveStrategy: 'steps', saveSteps: 2 });
  await trainer.train();
  const folder = join(t.testdirName, 'out', 'checkpoint-2');
  t.same(readdirSync(folder).toSorted(), [
    'SHA256SUMS',
    'bertune_reading.json',
    'bertune_state.json',
    'config.json',
    'model.safetensors',
    'optimizer.safetensors',
    'tokenizer.json',
    'tokenizer_config.json',
    'trainer_state.json',
    'vocab.txt',
  ]);
  // transformers 5.18: [field.name for field in dataclasses.fields(TrainerState)]; load_from_json refuses others
  const fields =
    'best_global_step best_metric best_model_checkpoint epoch eval_steps global_step is_hyper_param_search ' +
    'is_local_process_zero is_world_process_zero log_history logging_steps max_steps num_input_tokens_seen ' +
    'num_train_epochs save_steps stateful_callbacks total_flos train_batch_size trial_name trial_params';
  const state = JSON.parse(readFileSync(join(folder, 'trainer_state.json'), 'utf8')) as object;
  t.same(Object.keys(state).toSorted(), fields.split(' '));
  await close();
});

await t.test('a checkpoint is staged once and renamed once, as is the model at the end', async (t) => {
  const { rename } = fsPromises;
  const renamed: string[] = [];
  fsPromises.rename = (from, to) => {
    renamed.push(basename(String(to)));
    return rename(from, to);
  };
  syncBuiltinESMExports();
  const run = await toyRun(t.testdir(), { maxSteps: 2, saveStrategy: 'steps', saveSteps: 2 });
  try {
    await run.trainer.train();
    t.same(renamed.splice(0), ['checkpoint-2']);
    await run.model.savePretrained(join(t.testdirName, 'model'));
    const [marker, ...files] = renamed;
    t.same(
      [marker, files.toSorted(), files.at(-1)],
      ['bertune_replacing.json', ['bertune_reading.json', 'config.json', 'model.safetensors'], 'config.json'],
    );
  } finally {
    fsPromises.rename = rename;
    syncBuiltinESMExports();
    await run.close();
  }
  const folder = join(t.testdirName, 'out/checkpoint-2');
  await verifyChecksums(folder, 'resume');
  t.notMatch(readdirSync(folder).join(' '), /tmp/);
});

await t.test('a metric that is not defined is never the best', async (t) => {
  for (const greater of [true, false]) {
    t.notOk(isBetter(Number.NaN, null, greater));
    t.notOk(isBetter(Number.NaN, 0.5, greater));
    t.ok(isBetter(0, null, greater));
  }
  // Pearson's r with labels that are all the same has no value.
  const rowsOf = (labelOf: (row: number) => number) => ({
    size: 16,
    read: (rows: ArrayLike<number>) =>
      Promise.resolve(Array.from(rows, (row) => ({ text: row % 2 === 0 ? 'good' : 'the bad film' }))),
    labels: (rows: ArrayLike<number>) => Float32Array.from(rows, labelOf),
  });
  const problemType = 'regression';
  const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), {
    numLabels: 1,
    problemType,
  });
  const settings = {
    numTrainEpochs: 2,
    evalStrategy: 'epoch',
    saveStrategy: 'epoch',
    loadBestModelAtEnd: true,
    metricForBestModel: 'pearson',
    greaterIsBetter: true,
  } as const;
  const data = { trainDataset: rowsOf((row) => row % 2), evalDataset: rowsOf(() => 1) };
  const { trainer, close } = await toyRun(t.testdir(), settings, { model, ...data });
  await trainer.train();
  const { best_metric: metric, best_model_checkpoint: best, log_history: history } = trainer.state;
  t.same(
    history.flatMap((entry) => entry['eval_pearson'] ?? []),
    [Number.NaN, Number.NaN],
  );
  t.same([metric, best], [null, null]);
  await close();
});

await t.test("another run's later checkpoints in the output folder are left alone", async (t) => {
  const folder = t.testdir({
    out: { 'checkpoint-5': { a: '' }, 'checkpoint-100': {}, 'checkpoint-300': { b: '' } },
  });
  const settings = { maxSteps: 6, saveStrategy: 'steps', saveSteps: 2, saveTotalLimit: 2 } as const;
  const { trainer, close } = await toyRun(folder, settings);
  await trainer.train();
  const kept = ['checkpoint-100', 'checkpoint-300', 'checkpoint-5', 'checkpoint-6'];
  t.same(readdirSync(join(folder, 'out')).toSorted(), kept, 'they do not count either');
  t.same(readdirSync(join(folder, 'out/checkpoint-300')), ['b']);
  await close();
});

await t.test(
  'where only models are saved, what an interruption left to resume from is not removed',
  async (t) => {
    const settings = {
      maxSteps: 8,
      saveStrategy: 'steps',
      saveSteps: 2,
      saveOnlyModel: true,
      saveTotalLimit: 1,
    } as const;
    const stop: TrainerCallback = {
      onStepEnd: ({ state }) => void (state.global_step === 3 && first.trainer.interrupt()),
    };
    const first = await toyRun(t.testdir(), settings, { callbacks: [stop] });
    await t.rejects(first.trainer.train(), { name: 'InterruptedError' });
    await first.close();
    const again = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: 'auto' });
    await again.trainer.train();
    await again.close();
    const out = join(t.testdirName, 'out');
    t.same(readdirSync(out).toSorted(), ['checkpoint-3', 'checkpoint-8']);
    t.equal(again.trainer.lastCheckpoint, join(out, 'checkpoint-3'));
    await verifyChecksums(join(out, 'checkpoint-3'), 'resume');
  },
);

await t.test('the share of waiting covers the whole run, not what came after the checkpoint', async (t) => {
  const settings = { maxSteps: 4, saveStrategy: 'steps', saveSteps: 2 } as const;
  const first = await toyRun(t.testdir(), settings);
  await first.trainer.train();
  await first.close();
  const path = join(t.testdirName, 'out/checkpoint-2/bertune_state.json');
  const state = JSON.parse(readFileSync(path, 'utf8')) as { trainSeconds: number; idleSeconds: number };
  t.ok(state.idleSeconds >= 0 && state.idleSeconds <= state.trainSeconds, `${state.idleSeconds} s idle`);
  // As if the run had taken a thousand seconds to step 2 and waited for a quarter of them.
  writeFileSync(path, JSON.stringify({ ...state, trainSeconds: 1000, idleSeconds: 250 }));
  await writeChecksums(dirname(path));
  rmSync(join(t.testdirName, 'out/checkpoint-4'), { recursive: true });
  const again = await toyRun(t.testdirName, { ...settings, resumeFromCheckpoint: true });
  const { train_data_wait: wait = Number.NaN } = await again.trainer.train();
  t.ok(Math.abs(wait - 0.25) < 0.02, `train_data_wait ${wait}`);
  await again.close();
});

const dead = spawnSync(process.execPath, ['-e', '']).pid;

/** A process that is killed while it replaces checkpoint-4 and writes config.json. */
function killedWhileSaving(folder: string): void {
  const script = `
    const { writeDirectoryAtomic, writeFileAtomic } = await import(${JSON.stringify(new URL('../../dist/util/files.js', import.meta.url).href)});
    await writeDirectoryAtomic('checkpoint-4', async (made) => {
      await writeFileAtomic(made + '/model.safetensors', 'half');
      await writeFileAtomic('config.json', () => process.kill(process.pid, 'SIGKILL'));
    });`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder });
  if (signal !== 'SIGKILL') throw new Error(`ended with ${signal}`);
}

await t.test('a process that is killed while it removes a checkpoint leaves no half of it', async (t) => {
  const files = Object.fromEntries(Array.from({ length: 3000 }, (_, i) => [`part-${i}`, '']));
  const folder = t.testdir({ out: { 'checkpoint-2': files, 'checkpoint-4': {}, 'checkpoint-6': {} } });
  const out = join(folder, 'out');
  const script = `
    const { removeOldCheckpoints } = await import(${JSON.stringify(new URL('../../dist/training/output-folder.js', import.meta.url).href)});
    const { readdirSync } = await import('node:fs');
    const left = () => readdirSync('out', { recursive: true }).filter((name) => name.includes('part-')).length;
    setInterval(() => { if (left() < 3000) process.kill(process.pid, 'SIGKILL'); }, 0);
    await removeOldCheckpoints('out', 2, { newest: 'out/checkpoint-6', best: null, resumable: null });`;
  const { signal } = spawnSync(process.execPath, ['--input-type=module', '-e', script], { cwd: folder });
  t.equal(signal, 'SIGKILL', 'in the middle');
  const names = readdirSync(out).toSorted();
  t.match(names.join(' '), /^checkpoint-2\.tmp-\d+-0 checkpoint-4 checkpoint-6$/);
  await removeLeftovers(out);
  t.same(readdirSync(out).toSorted(), ['checkpoint-4', 'checkpoint-6']);
});

await t.test('what a killed process left unfinished is gone when a run starts', async (t) => {
  const settings = { maxSteps: 4, saveStrategy: 'steps', saveSteps: 2 } as const;
  const folder = join(t.testdir({ out: {} }), 'out');
  killedWhileSaving(folder);
  t.match(readdirSync(folder).toSorted().join(' '), /^checkpoint-4\.tmp-\d+-0 config\.json\.tmp-\d+-0$/);
  const first = await toyRun(t.testdirName, settings);
  await first.trainer.train();
  await first.close();
  t.same(readdirSync(folder).toSorted(), ['checkpoint-2', 'checkpoint-4']);

  killedWhileSaving(folder);
  const again = await toyRun(t.testdirName, {
    ...settings,
    resumeFromCheckpoint: join(folder, 'checkpoint-2'),
  });
  await again.trainer.train();
  await again.close();
  t.same(readdirSync(folder).toSorted(), ['checkpoint-2', 'checkpoint-4']);
});

await t.test('nothing but leftovers is removed', async (t) => {
  const running = process.ppid;
  const own = process.pid;
  const stay = {
    [`checkpoint-2.tmp-${running}-0`]: { 'model.safetensors': '' }, // another run's, in the making
    [`config.json.tmp-${own}-0`]: '', // ours
    [`config.json.tmp-${dead}`]: '',
    [`config.json.tmp-${dead}-0.old`]: '',
    [`config.json.tmp-${dead}-0.bak`]: '',
    [`notes.tmp-${dead}-0`]: { 'a-folder-that-we-never-make': '' },
    [`checkpoint-2.tmp-${dead}-0.older`]: {},
    'checkpoint-4': { new: '' },
    'checkpoint-4.old': {},
  };
  const go = {
    [`checkpoint-2.tmp-${dead}-0`]: { 'model.safetensors': '' },
    [`checkpoint-4.tmp-${dead}-12`]: {},
    [`checkpoint-4.tmp-${dead}-0.old`]: { old: '' },
    [`model.safetensors.tmp-${dead}-3`]: '',
    [`trainer_state.json.tmp-${own}-0`]: '', // of an earlier process with our number, see below
  };
  // Killed between the two renames: the new one is whole and has no name yet.
  const renaming = {
    [`checkpoint-6.tmp-${dead}-0`]: { new: '' },
    [`checkpoint-6.tmp-${dead}-0.old`]: { old: '' },
  };
  const folder = t.testdir({ ...stay, ...go, ...renaming });
  utimesSync(join(folder, `trainer_state.json.tmp-${own}-0`), 1e9, 1e9);
  const link = `config.json.tmp-${dead}-7`;
  symlinkSync('checkpoint-4', join(folder, link));
  await removeLeftovers(folder);
  t.same(readdirSync(folder).toSorted(), [...Object.keys(stay), link, 'checkpoint-6'].toSorted());
  t.ok(existsSync(join(folder, 'checkpoint-6/new')));
  t.same(readdirSync(join(folder, 'checkpoint-4')), ['new']);
  await t.resolves(removeLeftovers(join(folder, 'nowhere')));
});

await t.test('a best model that later evaluations equal', (t) => {
  const history = [0.5, 1, 0.5, 1, 1].map((value, i) => ({ step: (i + 1) * 10, eval_accuracy: value }));
  const state = { best_metric: 1, best_global_step: 20, log_history: history } as unknown as TrainerState;
  const accuracy = { metricForBestModel: 'accuracy' };
  t.match(
    tieNote(state, accuracy),
    /^note: 2 later evaluations had the same eval_accuracy as the best, .* metricForBestModel loss/,
  );
  t.equal(tieNote({ ...state, log_history: history.slice(0, 3) }, accuracy), null);
  t.end();
});
