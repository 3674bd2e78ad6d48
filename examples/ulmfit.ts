// ULMFiT's three stages (Howard, Ruder 2018, arXiv 1801.06146) on an encoder of today: a model of the language is there already;
// it is adapted to the texts of the task without their labels, then a classifier is trained from it with discriminative learning
// rates, a slanted triangular schedule and gradual unfreezing. Each is switched on and off, and one table shows the accuracies.
//   npm run build && node examples/ulmfit.ts --model DIR_OR_ID --train train.csv --test test.csv
// (Node from 22.18 on; with Node 20, npx tsx). Further: --labelled 200 --epochs 3 --adapt-epochs 1 --seeds 3 --max-length 128, and
// --learning-rate and --adapt-learning-rate; --adapted DIR takes a model that is adapted already. Each seed has other labelled rows.
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  AutoModelForMaskedLM,
  AutoModelForSequenceClassification,
  AutoTokenizer,
  loadDataset,
  maskedRows,
  Trainer,
  trainingArguments,
  type TrainingArguments,
} from 'bertune';

const text = { type: 'string' } as const;
const { values } = parseArgs({
  options: {
    model: { ...text, default: 'bert-base-uncased' },
    train: { ...text, default: 'train.csv' },
    test: { ...text, default: 'test.csv' },
    output: { ...text, default: 'ulmfit' },
    adapted: text,
    texts: { ...text, default: '4000' },
    labelled: { ...text, default: '200' },
    tested: { ...text, default: '2000' },
    epochs: { ...text, default: '3' },
    'learning-rate': { ...text, default: '5e-5' },
    'adapt-epochs': { ...text, default: '1' },
    'adapt-learning-rate': { ...text, default: '1e-4' },
    seeds: { ...text, default: '3' },
    'max-length': { ...text, default: '128' },
  },
});
const maxLength = Number(values['max-length']);
const learningRate = Number(values['learning-rate']);
const labelled = Number(values.labelled);
const seeds = Array.from({ length: Number(values.seeds) }, (_, i) => i + 1);
const examples = await labelledRows();
const adapted = values.adapted ?? join(values.output, 'adapted');
const tokenizer = await AutoTokenizer.fromPretrained(values.model);
const SHARED = { maxSeqLength: maxLength, saveStrategy: 'no', loggingStrategy: 'no' } as const;

/** `labelled` rows for each seed. */
async function labelledRows(): Promise<{ text: string; label: string }[]> {
  await using data = await loadDataset({ train: values.train });
  const first = await data.train.preview(seeds.length * labelled);
  return first.map((row) => ({ text: row.text, label: row.label ?? '' }));
}

/** The second stage: all texts of the training rows, none of their labels. */
async function adapt(): Promise<void> {
  const maxSamples = { train: Number(values.texts) };
  await using data = await loadDataset({ train: values.train }, { task: 'masked-lm', maxSamples });
  const rows = await maskedRows(data.train, tokenizer, { maxLength });
  await using model = await AutoModelForMaskedLM.fromPretrained(values.model);
  const trainer = new Trainer({
    model,
    tokenizer,
    args: trainingArguments({
      ...SHARED,
      outputDir: adapted,
      numTrainEpochs: Number(values['adapt-epochs']),
      learningRate: Number(values['adapt-learning-rate']),
      warmupSteps: 0.1,
    }),
    trainDataset: rows,
  });
  await trainer.train();
  await trainer.close();
  await model.savePretrained(adapted);
  await rows.close();
}

/** What each switch of the third stage means in options; off is what is left out. */
const SWITCHES: Readonly<Record<string, Partial<TrainingArguments>>> = {
  'discriminative rates': { layerLrDecay: 1.3 },
  // Up over a tenth of the steps, then down to a 32nd, as in the paper; off is a constant rate.
  'slanted triangle': {
    lrSchedulerType: 'polynomial',
    lrSchedulerKwargs: { lrEnd: learningRate / 32, power: 1 },
    warmupSteps: 0.1,
  },
  'gradual unfreezing': { gradualUnfreezing: 'epoch' },
};
const names = Object.keys(SWITCHES);

/** The third stage. @returns the accuracy on the test rows */
async function classify(start: string, on: readonly string[], seed: number): Promise<number> {
  const train = examples.slice((seed - 1) * labelled, seed * labelled);
  const maxSamples = { validation: Number(values.tested) };
  await using data = await loadDataset({ train, validation: values.test }, { maxSamples });
  await using model = await AutoModelForSequenceClassification.fromPretrained(start, data.task);
  const trainer = new Trainer({
    model,
    tokenizer,
    args: trainingArguments({
      ...SHARED,
      lrSchedulerType: 'constant',
      ...Object.assign({}, ...on.map((name) => SWITCHES[name])),
      outputDir: join(values.output, 'classifier'),
      numTrainEpochs: Number(values.epochs),
      learningRate,
      seed,
    }),
    trainDataset: data.train,
    evalDataset: data.validation,
  });
  await trainer.train();
  const { eval_accuracy: accuracy = Number.NaN } = await trainer.evaluate();
  await trainer.close();
  return accuracy;
}

if (values.adapted === undefined) await adapt();
const header = ['adapted', ...names, 'accuracy', 'by seed'];
const print = (row: readonly string[]): void => {
  process.stdout.write(`${row.map((cell, i) => cell.padEnd(header[i]?.length ?? 0)).join('  ')}\n`);
};
print(header);
for (const on of [[], ...names.map((name) => [name]), names])
  for (const start of [values.model, adapted]) {
    const accuracies: number[] = [];
    for (const seed of seeds) accuracies.push(await classify(start, on, seed));
    const mean = accuracies.reduce((sum, one) => sum + one, 0) / accuracies.length;
    print([
      start === adapted ? 'yes' : 'no',
      ...names.map((name) => (on.includes(name) ? 'on' : 'off')),
      mean.toFixed(4),
      accuracies.map((one) => one.toFixed(3)).join(' '),
    ]);
  }
