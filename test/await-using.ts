// `await using` closes models, data sets, sessions, trainers and pools at the end of their block, after a failure too.
import { join } from 'node:path';
import t from 'tap';
import {
  BertForSequenceClassification,
  BertTokenizer,
  type DatasetDict,
  createTokenizerPool,
  loadDataset,
  parseBertConfig,
  Trainer,
  trainingArguments,
} from '../dist/index.js';
import { makeToy, TOY_CONFIG } from './fixtures/toy.js';

t.test('the end of a block closes', async (t) => {
  const folder = t.testdir();
  const { model: modelFolder, train } = makeToy(folder, { train: 8, test: 4 });
  const tokenizer = await BertTokenizer.fromPretrained(modelFolder);
  const read = async () => {
    await using data = await loadDataset({ train });
    await using model = BertForSequenceClassification.fromConfig(
      parseBertConfig(TOY_CONFIG, 'toy'),
      data.task,
    );
    await using session = await model.open({ device: 'cpu', dtype: 'float32', threads: 1 });
    await using pool = createTokenizerPool(tokenizer, { workers: 1 });
    const args = trainingArguments({ outputDir: join(folder, 'out'), dataloaderNumWorkers: 1 });
    await using trainer = new Trainer({ model, tokenizer, args, trainDataset: data.train });
    t.equal((await data.train.read([0])).examples.length, 1);
    return { rows: data.train, session, pool, trainer };
  };
  const { rows, session, pool, trainer } = await read();
  await t.rejects(rows.read([0]), 'the files of the data set');
  await t.rejects(session.stats(), /closed/, 'the session of the model');
  await t.rejects(pool.encode([{ text: 'good' }]), /closed/, 'the threads of the pool');
  await t.rejects(trainer.train(), 'the threads of the trainer');
});

t.test('so does a failure', async (t) => {
  const { train } = makeToy(t.testdir(), { train: 8, test: 4 });
  const opened: DatasetDict[] = [];
  const fail = async () => {
    await using data = await loadDataset({ train });
    opened.push(data);
    throw new Error('a failure of the block');
  };
  await t.rejects(fail(), { message: 'a failure of the block' });
  t.equal(opened.length, 1);
  for (const data of opened) await t.rejects(data.train.read([0]), 'the files are closed');
});
