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
console.log('Labels:', data.task.labels.join(', '));

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
console.log('F1 of entities:', f1);

const text = 'Ada Lovelace lived in London.';
const [entities = []] = await extractEntities(model, tokenizer, [text]);
for (const { label, score, start, end } of entities)
  console.log(`${label} ${score.toFixed(2)} ${text.slice(start, end)}`);
for (const each of [trainer, model, data]) await each.close();
