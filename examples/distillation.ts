// Distillation (Hinton, Vinyals and Dean 2015): a teacher learns from few labelled rows, answers texts without labels, and a
// student of half its layers learns from those answers; beside it, a student that has the labelled rows alone.
//   npm run build && node examples/distillation.ts MODEL train.csv test.csv [LABELLED] [TEXTS] [SEEDS]
// (Node from 22.18 on; with Node 20, npx tsx.) MODEL is a BERT, such as all-MiniLM-L6-v2; of the training rows the first
// LABELLED keep their labels (500), and of the next TEXTS (2,000) only the texts are used. All of it is done SEEDS times (1), and
// the mean of the accuracies is shown with each of them.
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
  type TrainingArguments,
} from 'bertune';

const [base = 'sentence-transformers/all-MiniLM-L6-v2', train = 'train.csv', test = 'test.csv', ...numbers] =
  process.argv.slice(2);
const [labelled = 500, texts = 2000, seeds = 1] = numbers.map(Number);
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

const accuracies = new Map<string, number[]>();
for (let seed = 1; seed <= seeds; seed++) await distil(seed);
for (const [title, all] of accuracies) {
  const mean = all.reduce((sum, accuracy) => sum + accuracy, 0) / all.length;
  process.stdout.write(`${title}: ${percent(mean)} (${all.map(percent).join(', ')})\n`);
}
await whole.close();
await hard.close();

/** A teacher, and students that learn from labels and from its answers. */
async function distil(seed: number): Promise<void> {
  const teacher = await BertForSequenceClassification.fromPretrained(base, task);
  await teacher.open({ seed });
  await evaluated('teacher', teacher, hard.train, { seed });
  const alone = await makeStudent(teacher.config, seed);
  await evaluated(`student, ${labelled} rows`, alone, hard.train, { seed });
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
    const student = await makeStudent(teacher.config, seed);
    const title = `student, distilled at ${distillationTemperature}`;
    await evaluated(title, student, soft.train, { seed, distillationTemperature });
  }
  await soft.close();
  await teacher.close();
}

/** Every second layer of the pre-trained model, as DistilBERT began (Sanh et al. 2019), with its embeddings and its pooler. */
async function makeStudent(config: BertConfig, seed: number): Promise<EncoderModel> {
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

/** Trains, and notes the accuracy on the test rows. A student is closed. */
async function evaluated(
  title: string,
  model: EncoderModel,
  data: Dataset,
  options: Pick<TrainingArguments, 'seed' | 'distillationTemperature'>,
): Promise<void> {
  const args = trainingArguments({
    outputDir: 'distillation',
    // The same number of steps for all.
    numTrainEpochs: (EPOCHS * (labelled + texts)) / data.size,
    perDeviceTrainBatchSize: 16,
    learningRate: 1e-4,
    saveStrategy: 'no',
    ...options,
  });
  const trainer = new Trainer({ model, tokenizer, args, trainDataset: data, evalDataset: whole.test });
  await trainer.train();
  const { eval_accuracy: accuracy = 0 } = await trainer.evaluate();
  accuracies.set(title, [...(accuracies.get(title) ?? []), accuracy]);
  await trainer.close();
  if (title !== 'teacher') await model.close();
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
