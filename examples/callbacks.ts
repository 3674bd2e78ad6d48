// Callbacks: the logs go to a tracking service, and the training ends when the loss is low enough.
//   npm run build && node examples/callbacks.ts      (Node from 22.18 on; with Node 20, npx tsx)
import {
  BertForSequenceClassification,
  BertTokenizer,
  loadDataset,
  Trainer,
  trainingArguments,
  type TrainerCallback,
} from 'bertune';

/** What is needed of a tracking service: put the client of Weights & Biases, MLflow or your own here. */
const run = {
  log: (values: Record<string, number>) => process.stdout.write(`${JSON.stringify(values)}\n`),
  finish: () => undefined,
};

const tracking: TrainerCallback = {
  onLog: ({ logs }) => void run.log(logs),
  onTrainEnd: () => run.finish(),
};

const goodEnough: TrainerCallback = {
  onLog({ logs, control }) {
    if ((logs['loss'] ?? Infinity) < 0.05) control.shouldTrainingStop = control.shouldSave = true;
  },
};

const data = await loadDataset({ train: 'train.csv', validation: 'dev.csv' });
const tokenizer = await BertTokenizer.fromPretrained('bert-base-uncased');
const model = await BertForSequenceClassification.fromPretrained('bert-base-uncased', data.task);
const trainer = new Trainer({
  model,
  args: trainingArguments({ outputDir: 'out', loggingSteps: 20, evalStrategy: 'epoch' }),
  tokenizer,
  trainDataset: data.train,
  evalDataset: data.validation,
  callbacks: [tracking, goodEnough],
});
await trainer.train();
await trainer.close();
await model.close();
await data.close();
