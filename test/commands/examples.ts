// The examples: they fit the types (tsconfig.test.json), and one runs from its first to its last line with a toy in the
// place of BERT.
import { execFile } from 'node:child_process';
import { copyFileSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import t from 'tap';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';

import { BertForSequenceClassification, parseBertConfig } from '../../dist/index.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const examples = fileURLToPath(new URL('../../examples/', import.meta.url));

t.test('callbacks.ts', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 40, test: 8 });
  copyFileSync(join(folder, 'test.csv'), join(folder, 'dev.csv'));
  const model = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), {
    numLabels: 2,
  });
  await model.open({ device: 'cpu' });
  await model.savePretrained(join(folder, 'model'));
  await model.close();
  renameSync(join(folder, 'model'), join(folder, 'bert-base-uncased'));

  // Without the types, as Node from 22.18 on runs it by itself.
  const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 };
  const source = readFileSync(join(examples, 'callbacks.ts'), 'utf8');
  writeFileSync(join(folder, 'callbacks.mjs'), transpileModule(source, { compilerOptions }).outputText);
  const { stdout } = await promisify(execFile)(process.execPath, ['callbacks.mjs'], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', HF_HUB_OFFLINE: '1' },
  });
  const logs = stdout.trimEnd().split('\n');
  t.equal(logs.filter((line) => line.includes('"eval_accuracy"')).length, 3, 'an evaluation an epoch');
  t.match(logs.at(-1), /"train_loss":/);
});
