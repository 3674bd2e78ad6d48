// Named entities: a model is trained on words with labels, and finds persons and places in texts.
//   npm run build && node examples/ner.ts train.jsonl dev.jsonl      (Node from 22.18 on; with Node 20, npx tsx)
import {
  AutoModelForTokenClassification,
  AutoTokenizer,
  extractEntities,
  loadDataset,
  Trainer,
  trainingArguments,
} from 'bertune';

const [train = 'train.jsonl', validation = 'dev.jsonl', name = 'bert-base-cased'] = process.argv.slice(2);

// Rows such as {"tokens": ["Ada", "lived", "in", "London"], "ner_tags": ["B-PER", "O", "O", "B-LOC"]}.
const data = await loadDataset({ train, validation }, { task: 'token-classification' });
process.stdout.write(`Labels: ${data.task.labels.join(', ')}\n`);

const tokenizer = await AutoTokenizer.fromPretrained(name);
const model = await AutoModelForTokenClassification.fromPretrained(name, data.task);
const trainer = new Trainer({
  model,
  args: trainingArguments({
    outputDir: 'ner',
    learningRate: 5e-5,
    numTrainEpochs: 3,
    evalStrategy: 'epoch',
    saveStrategy: 'epoch',
    metricForBestModel: 'f1',
    loadBestModelAtEnd: true,
  }),
  tokenizer,
  trainDataset: data.train,
  evalDataset: data.validation,
});
await trainer.train();
const { eval_f1: f1 } = await trainer.evaluate();
process.stdout.write(`F1 of entities: ${f1}\n`);

const text = 'Ada Lovelace lived in London.';
const [entities = []] = await extractEntities(model, tokenizer, [text]);
for (const { label, score, start, end } of entities)
  process.stdout.write(`${label} ${score.toFixed(2)} ${text.slice(start, end)}\n`);
for (const each of [trainer, model, data]) await each.close();
