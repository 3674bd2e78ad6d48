// Distillation (Hinton, Vinyals and Dean 2015): a teacher learns from few labelled rows, answers texts without labels, and a
// student of half its layers learns from those answers; beside it, a student that has the labelled rows alone.
//   npm run build && node examples/distillation.ts MODEL train.csv test.csv [LABELLED] [TEXTS] [SEED]
// (Node from 22.18 on; with Node 20, npx tsx.) MODEL is a BERT, such as all-MiniLM-L6-v2; of the training rows the first
// LABELLED keep their labels (500), and of the next TEXTS (2,000) only the texts are used.
import {
  BertForSequenceClassification,
  BertTokenizer,
  loadDataset,
  predict,
  Trainer,
  trainingArguments,
  type BertConfig,
  type Dataset,
  type EncoderModel,
} from 'bertune';

const [base = 'sentence-transformers/all-MiniLM-L6-v2', train = 'train.csv', test = 'test.csv', ...numbers] =
  process.argv.slice(2);
const [labelled = 500, texts = 2000, seed = 1] = numbers.map(Number);
const TEMPERATURES = [1, 2, 4];
/** Passes over all texts. */
const EPOCHS = 3;

const tokenizer = await BertTokenizer.fromPretrained(base);
const whole = await loadDataset({ train, test });
const { task } = whole;
const rows = (await whole.train.preview(labelled + texts)).map(({ text, label }) => ({
  text,
  label: label ?? '',
}));
const hard = await loadDataset({ train: rows.slice(0, labelled) }, { labelList: task.labels });

const teacher = await BertForSequenceClassification.fromPretrained(base, task);
await report('teacher', teacher, hard.train);
const alone = await makeStudent(teacher.config);
await report(`student, ${labelled} rows`, alone, hard.train);

// What the teacher says of all texts: a probability for each label. On the command line:
//   npm run predict -- --model teacher --test-file texts.csv --id-column text --output-file teacher.jsonl
const answers = await predict(
  teacher,
  tokenizer,
  rows.map(({ text }) => text),
);
const soft = await loadDataset(
  { train: rows.map(({ text }, row) => ({ text, label: answers[row]?.probabilities })) },
  { softLabels: true, labelList: task.labels },
);
//   npm run train -- --model student --train-file teacher.jsonl --soft-labels --distillation-temperature 2 --output-dir out
for (const distillationTemperature of TEMPERATURES) {
  const student = await makeStudent(teacher.config);
  await report(
    `student, distilled at ${distillationTemperature}`,
    student,
    soft.train,
    distillationTemperature,
  );
}
for (const each of [teacher, whole, hard, soft]) await each.close();

/** Every second layer of the pre-trained model, as DistilBERT began (Sanh et al. 2019), with its embeddings and its pooler. */
async function makeStudent(config: BertConfig): Promise<EncoderModel> {
  const layers = Math.ceil(config.numHiddenLayers / 2);
  const pretrained = await BertForSequenceClassification.fromPretrained(base, task);
  const student = BertForSequenceClassification.fromConfig({ ...config, numHiddenLayers: layers }, task);
  await pretrained.open({ seed });
  await student.open({ seed });
  for (const { name, shape } of student.session.tensors()) {
    const from = name.replace(/(?<=\blayer\.)\d+/, (layer) => `${2 * Number(layer)}`);
    const weights = await pretrained.session.read(from);
    await student.session.write(name, { dtype: 'F32', shape, data: new Uint8Array(weights.buffer) });
  }
  await pretrained.close();
  return student;
}

/** Trains, and prints the accuracy on the test rows. */
async function report(title: string, model: EncoderModel, data: Dataset, temperature = 1): Promise<void> {
  const args = trainingArguments({
    outputDir: 'distillation',
    // The same number of steps for all.
    numTrainEpochs: (EPOCHS * (labelled + texts)) / data.size,
    perDeviceTrainBatchSize: 16,
    learningRate: 1e-4,
    distillationTemperature: temperature,
    saveStrategy: 'no',
    seed,
  });
  const trainer = new Trainer({ model, tokenizer, args, trainDataset: data, evalDataset: whole.test });
  await trainer.train();
  const { eval_accuracy: accuracy = 0 } = await trainer.evaluate();
  process.stdout.write(`${title}: ${(100 * accuracy).toFixed(1)} %\n`);
  await trainer.close();
  if (model !== teacher) await model.close();
}
