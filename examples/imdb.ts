// The well-known tutorial, line by line: bert-base-uncased learns the sentiment of IMDB reviews.
//   npm run build && node examples/imdb.ts      (Node from 22.18 on; with Node 20, npx tsx)
//
// What has no counterpart here: dataset.map(tokenize, batched=True). The Trainer tokenizes on threads of its own
// while the model trains, and no text is ever padded.
import {
  BertForSequenceClassification,
  BertTokenizer,
  loadDataset,
  Trainer,
  trainingArguments,
} from 'bertune';

// tokenizer = BertTokenizer.from_pretrained("bert-base-uncased")
const tokenizer = await BertTokenizer.fromPretrained('bert-base-uncased');

// model = BertForSequenceClassification.from_pretrained("bert-base-uncased", num_labels=2)
// With names for its labels, so that predictions say pos and not LABEL_1; numLabels: 2 would do too.
const model = await BertForSequenceClassification.fromPretrained('bert-base-uncased', {
  labels: ['neg', 'pos'],
});

// dataset = load_dataset("imdb")
const dataset = await loadDataset('imdb');

// training_args = TrainingArguments(output_dir="./results", num_train_epochs=3, ...)
const args = trainingArguments({
  outputDir: './results',
  numTrainEpochs: 3,
  perDeviceTrainBatchSize: 8,
  perDeviceEvalBatchSize: 8,
  warmupSteps: 500,
  weightDecay: 0.01,
  evalStrategy: 'epoch',
});

// trainer = Trainer(model=model, args=training_args, train_dataset=..., eval_dataset=...)
const trainer = new Trainer({
  model,
  args,
  tokenizer,
  trainDataset: dataset.train,
  evalDataset: dataset.test,
});

// trainer.train()
await trainer.train();

// model.save_pretrained("./fine_tuned_bert_sentiment")
await model.savePretrained('./fine_tuned_bert_sentiment');

// tokenizer.save_pretrained("./fine_tuned_bert_sentiment")
await tokenizer.savePretrained('./fine_tuned_bert_sentiment');

await trainer.close();
await model.close();
await dataset.close();
