// `bertune train`: data, model, Trainer, evaluation, and a folder that Hugging Face loads.
import { join } from 'node:path';
import { maxLengthOf } from '../data/batch.js';
import { classNameOf } from '../models/config.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { configOf, type TrainOptions } from '../options/index.js';
import { counted, listed, oneLine } from '../util/text.js';
import type { Dataset, DatasetDict } from '../data/dataset.js';
import { InterruptedError, StoppedError, UsageError } from '../util/errors.js';
import { extractEntities, type Entity } from '../evaluation/entities.js';
import { classify } from '../evaluation/predict.js';
import type { Metrics } from '../evaluation/evaluate.js';
import { detailMetrics, type Prediction } from '../tasks/index.js';
import { isSameFolder, exists } from '../util/file-system.js';
import { commandLine, shellWord } from '../util/installation.js';
import { INDEX, OF_TRAINING, replaceFiles, requireNoFolders } from '../formats/replace-files.js';
import { writeFileAtomic, writeJson } from '../util/files.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { World } from '../distributed/world.js';
import type { TrainerCallback } from '../training/callbacks.js';
import { AUTO, findCheckpoint, removeLeftovers } from '../training/output-folder.js';
import { whileLocked } from '../util/folder-lock.js';
import { formatNumber, type Progress } from '../terminal/progress.js';
import { MODEL_CARD } from '../publishing/card-file.js';
import { Trainer } from '../training/trainer.js';
import { chanceNote } from './notes.js';
import { TrainingReport } from './report.js';
import { crossValidate } from './cross-validation.js';
import { openData, textsOf } from './data.js';
import { rowsOf, type ClosableRows } from './masked-lm.js';
import { cardOfTraining } from './model-card.js';
import { modelAndTokenizer, readOptions, type ModelSource } from './model-source.js';
import { TrainingPush } from './push.js';
import { CommandProgress, checkOutputFolder, printMetrics, writeBadRowsOf, writtenBytes } from './output.js';
import { StopSignals, withResumeHint } from './stop.js';
import { placementOf, together } from './together.js';
import { follow, requireShareable } from './train-together.js';

const EXAMPLES_SHOWN = 3;

/**
 * Trains, evaluates and saves. Progress goes to stderr; the metrics go to stdout as one JSON object, unless both are a
 * terminal.
 *
 * @throws UsageError for options, data or a model that cannot be used; RunError when the run fails
 */
export async function train(options: TrainOptions): Promise<void> {
  await requireShareable(options);
  const progress = new CommandProgress(options);
  await together(
    options,
    (line) => progress.line(line),
    (own, world, takeSignals) =>
      world.isMain ? lead(own, { world, takeSignals, progress }) : follow(own, world, takeSignals),
  );
}

/** The training of a process that is alone, or the first of several. */
async function lead(options: TrainOptions, own: Omit<Start, 'source' | 'tokenizer'>): Promise<void> {
  const { outputDir } = options;
  const { progress } = own;
  await checkOutputFolder(outputDir);
  const log = (line: string): void => progress.line(line);
  await whileLocked(outputDir, log, async () => {
    // First, since the model to start from, or the checkpoint, may be what a killed run left half moved there.
    await removeLeftovers(outputDir);
    const { source, tokenizer } = await modelAndTokenizer(options, progress);
    await checkOutput(options, source);
    await trainFrom(options, { ...own, source, tokenizer });
  });
}

interface Start {
  source: ModelSource;
  tokenizer: BertTokenizer;
  progress: Progress;
  world: World;
  /** From here on a signal ends the training with a checkpoint. */
  takeSignals: () => void;
}

async function trainFrom(
  options: TrainOptions,
  { source, tokenizer, progress, world, takeSignals }: Start,
): Promise<void> {
  const maxLength = maxLengthOf(source, tokenizer, options.maxSeqLength);
  const read = readOptions(options, source);
  if (read.modelLabels !== undefined)
    progress.line(`The model's labels are ${listed(read.modelLabels)}; --label-list gives it others`);
  const data = await openData(read, 'train', progress);
  let model: EncoderModel | undefined;
  let trainer: Trainer | undefined;
  let report: TrainingReport | undefined;
  const rows: ClosableRows[] = [];
  try {
    checkTask(options, data);
    // Before the training, so that the rows can be looked at while it runs.
    await writeBadRowsOf(data, options.outputDir, progress);
    if (options.crossValidation !== undefined) {
      await crossValidate(options.crossValidation, options, { source, tokenizer, data, progress });
      return;
    }
    model = await source.load(data, options);
    const asRows = async (name: string, split: Dataset): Promise<ClosableRows> => {
      const made = await rowsOf(name, split, options, { tokenizer, maxLength, progress });
      rows.push(made);
      return made;
    };
    const { validation } = data.splits;
    const trainDataset = await asRows('train', data.train);
    const evalDataset = validation && (await asRows('validation', validation));
    const push = await TrainingPush.open(options, progress);
    report = await TrainingReport.start(options, { model, tokenizer, maxLength, data, progress });
    trainer = new Trainer({
      model,
      args: options,
      tokenizer,
      trainDataset,
      evalDataset,
      progress,
      world,
      callbacks: [
        announcingStart(options.outputDir, progress),
        report.callback,
        ...(push === null ? [] : [push]),
      ],
    });
    await model.open(options);
    for (const note of tokenizer.notes) progress.line(`note: ${note}`);
    progress.line(`Training on ${placementOf(model, world)}`);
    const results = await trainAndSave(options, {
      model,
      tokenizer,
      trainer,
      data,
      report,
      progress,
      world,
      takeSignals,
    });
    for (const note of chanceNote(model.task.kind, results.evaluation)) progress.line(note);
    if (model.task.kind.name !== 'masked-lm')
      await showExamples({ model, tokenizer, data, maxLength }, progress);
    showNextSteps(options, model, progress);
    await printMetrics({ ...results.train, ...results.evaluation }, { ...options, hidden: detailMetrics });
    await push?.finish();
  } finally {
    await report?.close();
    await trainer?.close();
    await model?.close();
    for (const each of rows) await each.close?.();
    await data.close();
  }
}

/** @throws UsageError for a folder that cannot be resumed from; RunError when its disk is too full */
async function checkOutput(options: TrainOptions, { config, lora }: ModelSource): Promise<void> {
  const { outputDir, resumeFromCheckpoint: resume } = options;
  if (resume !== undefined && resume !== false && resume !== AUTO) await findCheckpoint(outputDir, resume);
  if (lora !== undefined && (await isSameFolder(outputDir, lora.base)))
    throw new UsageError(
      `--output-dir is the folder of the base, ${lora.base}, which the adapter needs; name another for the adapter`,
    );
  await requireNoFolders(outputDir, options.modelCard ? [...OF_TRAINING, MODEL_CARD] : OF_TRAINING);
  await checkOutputFolder(outputDir, writtenBytes(options, config, lora));
}

function checkTask({ numLabels }: TrainOptions, { task }: DatasetDict): void {
  if (numLabels !== undefined && numLabels !== task.numLabels)
    throw new UsageError(
      `--num-labels is ${numLabels} but the data have ${counted(task.numLabels, 'label')} (${task.labels.slice(0, 8).join(', ')}); leave --num-labels out, or name all labels with --label-list`,
    );
}

/** What is true of a training from the first step: which weights are new, and that an earlier model will be gone. */
function announcingStart(outputDir: string, progress: Progress): TrainerCallback {
  return {
    // Not before: only then is it known whether there was a checkpoint to resume from.
    async onTrainBegin({ state, model }) {
      if (state.global_step > 0) return;
      for (const note of model.notes) progress.line(`note: ${note}`);
      const files = ['model.safetensors', INDEX, 'adapter_model.safetensors'];
      const found = await Promise.all(files.map((name) => exists(join(outputDir, name))));
      if (found.includes(true))
        progress.line(`note: ${outputDir} holds a model already; that of this training will replace it`);
    },
  };
}

interface Results {
  train: Metrics;
  evaluation: Metrics;
}

/** @throws StoppedError after a signal; after the last step the model is saved all the same */
async function trainAndSave(
  options: TrainOptions,
  parts: Omit<Parameters<typeof save>[1], 'results'> & Pick<Start, 'world' | 'takeSignals'>,
): Promise<Results> {
  const { trainer, data, report, progress, world, takeSignals } = parts;
  const signals = new StopSignals(progress, 'finishing this step and saving');
  takeSignals();
  signals.signal.addEventListener('abort', () => trainer.interrupt());
  try {
    return await withResumeHint(trainer, async () => {
      const metrics = await trainUntilStopped(trainer, signals, world);
      signals.next = 'saving the trained model';
      const evaluation =
        data.splits.validation === undefined
          ? {}
          : await evaluateUnlessStopped(trainer, signals, report, world);
      const { epoch } = trainer.state;
      const isEvaluated = Object.keys(evaluation).length > 0;
      const results = {
        train: { ...metrics, epoch },
        evaluation: isEvaluated ? { ...evaluation, epoch } : {},
      };
      await save(options, { ...parts, results });
      if (signals.received !== undefined)
        throw new StoppedError(
          signals.received,
          `all steps were done, and the model is in ${options.outputDir}${isEvaluated ? '' : ', not evaluated'}`,
        );
      return results;
    });
  } catch (error) {
    if (!report.isWritten) await report.writeUnfinished();
    throw error;
  } finally {
    signals.release();
  }
}

async function trainUntilStopped(trainer: Trainer, signals: StopSignals, world: World): Promise<Metrics> {
  try {
    return await trainer.train();
  } catch (error) {
    if (error instanceof InterruptedError && signals.received !== undefined)
      throw new StoppedError(signals.received, `continue with --resume-from-checkpoint ${error.checkpoint}`);
    // Here, where the checkpoint to continue from is added to it.
    throw await world.explain(error);
  }
}

/** @returns no metrics where a signal came before the end */
async function evaluateUnlessStopped(
  trainer: Trainer,
  { signal }: StopSignals,
  report: TrainingReport,
  world: World,
): Promise<Metrics> {
  try {
    if (await world.any(signal.aborted)) return {};
    return await trainer.evaluate({ signal, ...report.evaluationHooks() });
  } catch (error) {
    if (signal.aborted && error === signal.reason) return {};
    throw error;
  }
}

/** The files that run_classification.py leaves behind, in place of those of an earlier training. */
async function save(
  options: TrainOptions,
  parts: {
    model: EncoderModel;
    tokenizer: BertTokenizer;
    trainer: Trainer;
    data: DatasetDict;
    report: TrainingReport;
    results: Results;
    progress: Progress;
  },
): Promise<void> {
  const { outputDir } = options;
  const { model, tokenizer, trainer, data, report, results, progress } = parts;
  const card = await cardOfTraining(options, { ...parts, evaluation: results.evaluation });
  await replaceFiles(outputDir, OF_TRAINING, async (folder) => {
    await model.savePretrained(folder);
    await tokenizer.savePretrained(folder);
    await writeJson(join(folder, 'trainer_state.json'), trainer.state);
    await writeJson(join(folder, 'train_results.json'), results.train);
    if (Object.keys(results.evaluation).length > 0)
      await writeJson(join(folder, 'eval_results.json'), results.evaluation);
    await writeJson(join(folder, 'all_results.json'), { ...results.train, ...results.evaluation });
    await writeJson(join(folder, 'training_options.json'), configOf(options));
    await writeBadRowsOf(data, folder);
    if (card.text !== null) await writeFileAtomic(join(folder, MODEL_CARD), card.text);
  });
  if (card.note !== null) progress.line(card.note);
  await report.write(results);
}

async function showExamples(
  parts: {
    model: EncoderModel;
    tokenizer: BertTokenizer;
    data: DatasetDict;
    maxLength: number;
  },
  progress: Progress,
): Promise<void> {
  const { model, tokenizer, data, maxLength } = parts;
  const rows = (await data.splits.validation?.preview(EXAMPLES_SHOWN)) ?? [];
  if (rows.length === 0) return;
  if (model.task.kind.unit === 'token') {
    const found = await extractEntities(
      model,
      tokenizer,
      rows.map(({ text }) => text),
      { maxLength },
    );
    progress.line('Example predictions:');
    rows.forEach((row, i) => {
      progress.line(textsOf(row, '  '));
      progress.line(`    ${oneLine(`${shownEntities(found[i] ?? [])}; labelled ${row.label}`, 100)}`);
    });
    return;
  }
  const predictions = await classify(model, tokenizer, rows, { maxLength });
  progress.line('Example predictions:');
  rows.forEach((row, i) => {
    const { label = '', score = 0 } = predictions[i] ?? {};
    // What a regression gives is its score too.
    const shown = typeof label === 'number' ? formatNumber(label) : withScore(label, score);
    progress.line(textsOf(row, `  ${oneLine(`${shown}, labelled ${row.label}`, 60)}: `));
  });
}

function shownEntities(entities: readonly Entity[]): string {
  return entities.map(({ text, label }) => `${text} (${label})`).join(', ') || 'no entity';
}

function withScore(label: Prediction['label'], score: number): string {
  const shown = Array.isArray(label) ? `[${listed(label.map(String), Infinity)}]` : label;
  return `${shown} (${formatNumber(score)})`;
}

function showNextSteps(
  { outputDir }: TrainOptions,
  { lora, task, config }: EncoderModel,
  progress: Progress,
): void {
  const inPython =
    lora === undefined
      ? `The model is in ${outputDir}; in Python ${classNameOf(config)}.from_pretrained loads it too.`
      : `The adapter is in ${outputDir}; PEFT's AutoPeftModel${task.kind.unit === 'token' ? 'ForTokenClassification' : 'ForSequenceClassification'}.from_pretrained, with num_labels=${task.numLabels}, loads it too, and bertune merge makes a model of it.`;
  if (task.kind.name === 'masked-lm') {
    const next = commandLine(
      'train',
      `--model ${shellWord(outputDir)} --train-file LABELLED.csv --output-dir OTHER`,
    );
    progress.line(['', inPython, 'Train a classifier from it:', `  ${next}`].join('\n'));
    return;
  }
  progress.line(
    [
      '',
      inPython,
      `All metrics are in ${join(outputDir, 'all_results.json')}.`,
      task.kind.unit === 'token' ? 'Find the entities of a file with it:' : 'Classify a file with it:',
      `  ${commandLine('predict', `--model ${shellWord(outputDir)} --test-file ${task.kind.unit === 'token' ? 'FILE.txt' : 'FILE.csv'} --output-file predictions.jsonl`)}`,
    ].join('\n'),
  );
}
