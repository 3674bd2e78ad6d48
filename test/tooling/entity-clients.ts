// Entities where people use them: the exported model in transformers.js, and the saved one in transformers' pipeline, give those
// of `predict`.
import { execFileSync } from 'node:child_process';
import { env, pipeline } from '@huggingface/transformers';
import t from 'tap';

import { AutoModelForTokenClassification, AutoTokenizer, extractEntities } from '../../dist/index.js';
import { aggregationStrategies } from '../../dist/tasks/index.js';
import { bertune, flags } from '../fixtures/cli.js';
import { toyRow } from '../fixtures/toy.js';
import { cheap, succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here, write } = workspace(folder);
env.allowRemoteModels = false;
env.localModelPath = `${folder}/`;

const rows = Array.from({ length: 60 }, (_, row) => {
  const tokens = toyRow(row).text.split(' ');
  const kinds = tokens.map((_token, at) => (at + row) % 5);
  return { tokens, ner_tags: kinds.map((kind) => ['O', 'B-X', 'I-X', 'B-Y', 'O'][kind]) };
});
write('train.jsonl', rows.map((row) => JSON.stringify(row)).join('\n'));
const TEXTS = Array.from({ length: 30 }, (_, row) => toyRow(500 + row).text);
const options = {
  ...toyTraining,
  'train-file': 'train.jsonl',
  'num-train-epochs': '3',
  dtype: 'float32',
  'output-dir': 'out',
};
succeeded(t, 'train', await bertune(['train', ...flags(options)], here));
succeeded(
  t,
  'export',
  await bertune(['export', ...flags({ model: 'out', 'output-dir': 'out-onnx', dtype: 'fp32' })], here),
);

const model = await AutoModelForTokenClassification.fromPretrained(`${folder}/out`);
const tokenizer = await AutoTokenizer.fromPretrained(`${folder}/out`);
await model.open({ ...cheap, device: 'cpu', dtype: 'float32', threads: 1 });

t.test('transformers.js', async (t) => {
  const recognize = await pipeline('token-classification', 'out-onnx', { dtype: 'fp32' });
  const own = await extractEntities(model, tokenizer, TEXTS, { aggregationStrategy: 'none' });
  let tokens = 0;
  for (const [i, text] of TEXTS.entries()) {
    const theirs = (await recognize(text, { ignore_labels: ['O'] })) as unknown as {
      entity: string;
      score: number;
      word: string;
    }[];
    const ours = own[i] ?? [];
    tokens += ours.length;
    t.same(
      ours.map(({ label, text: word }) => [label, word]),
      theirs.map(({ entity, word }) => [entity, word]),
      text,
    );
    const apart = ours.map(({ score }, at) => Math.abs(score - (theirs[at]?.score ?? 0)));
    t.ok(Math.max(0, ...apart) < 1e-4, 'scores');
  }
  t.ok(tokens > 30, `${tokens} tokens with a label`);
});

const PYTHON = process.env['BERTUNE_PYTHON'];
const PIPELINE = `
import json, sys
from transformers import pipeline
given = json.load(sys.stdin)
found = {}
for strategy in given["strategies"]:
    recognize = pipeline("token-classification", model=given["model"], aggregation_strategy=strategy, device="cpu")
    found[strategy] = [[[one.get("entity_group", one.get("entity")), float(one["score"]), one["start"], one["end"]] for one in entities] for entities in recognize(given["texts"])]
print(json.dumps(found))
`;

t.test("transformers' pipeline", { skip: PYTHON === undefined && 'BERTUNE_PYTHON is not set' }, async (t) => {
  const input = JSON.stringify({ strategies: aggregationStrategies, model: `${folder}/out`, texts: TEXTS });
  const stdio: ['pipe', 'pipe', 'ignore'] = ['pipe', 'pipe', 'ignore'];
  const answer = execFileSync(PYTHON ?? '', ['-c', PIPELINE], { input, encoding: 'utf8', stdio });
  const theirs = JSON.parse(answer) as Record<string, [string, number, number, number][][]>;
  for (const aggregationStrategy of aggregationStrategies) {
    const own = await extractEntities(model, tokenizer, TEXTS, { aggregationStrategy });
    const placed = own.map((entities) => entities.map(({ label, start, end }) => [label, start, end]));
    const wanted = theirs[aggregationStrategy] ?? [];
    t.same(
      placed,
      wanted.map((entities) => entities.map(([label, , start, end]) => [label, start, end])),
      aggregationStrategy,
    );
    const apart = own.flatMap((entities, i) =>
      entities.map(({ score }, at) => Math.abs(score - (wanted[i]?.[at]?.[1] ?? 0))),
    );
    t.ok(Math.max(...apart) < 1e-4, `${aggregationStrategy}: scores differ by ${Math.max(...apart)}`);
  }
});

t.after(() => model.close());
