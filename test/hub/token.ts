// The access token of the hub, set while a model of the hub is trained, stands in nothing that a run writes or says.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { BertForSequenceClassification, BertTokenizer, parseBertConfig } from '../../dist/index.js';
import { bertune, flags, type Options } from '../fixtures/cli.js';
import { startHub, TOKEN } from '../fixtures/hub.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 24, test: 12 });
const task = { problemType: 'single_label_classification', labels: ['neg', 'pos'] } as const;
const base = BertForSequenceClassification.fromConfig(parseBertConfig(TOY_CONFIG, 'toy'), task);
await base.savePretrained(join(folder, 'base'));
await base.close();
await (await BertTokenizer.fromPretrained(join(folder, 'model'))).savePretrained(join(folder, 'base'));
const main = Object.fromEntries(
  readdirSync(join(folder, 'base')).map((name) => [name, readFileSync(join(folder, 'base', name))]),
);
const { server, sentTo } = await startHub([{ type: 'model', id: 'org/base', branches: { main } }]);

/** The files below a folder in which the token stands, as it is or as base64. */
function filesWithToken(): string[] {
  const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
  const paths = entries
    .filter((entry) => entry.isFile())
    .map(({ parentPath, name }) => join(parentPath, name));
  const forms = [TOKEN, Buffer.from(TOKEN).toString('base64').slice(0, -2)];
  return paths.filter((path) =>
    forms.some((form) => readFileSync(path).includes(form) || path.includes(form)),
  );
}

await t.test('in no file, log or error', async (t) => {
  const wrapper = ['env', 'HF_HUB_OFFLINE=0', `HF_ENDPOINT=${server.endpoint}`, `HF_TOKEN=${TOKEN}`];
  const usual = {
    model: 'org/base',
    'train-file': 'train.csv',
    'validation-file': 'test.csv',
    'output-dir': 'out',
    'max-steps': '4',
    'save-steps': '2',
    'eval-strategy': 'steps',
    'eval-steps': '2',
    'report-to': ['tensorboard', 'jsonl', 'csv'],
    threads: '1',
    verbose: true,
  } as const;
  const runs: [what: string, code: number, options: Options][] = [
    ['a training', 0, usual],
    ['one that cannot be resumed', 2, { ...usual, 'resume-from-checkpoint': true, seed: '7' }],
    ['an adapter, which names its base', 0, { ...usual, 'output-dir': 'adapter', 'lora-rank': '2' }],
    ['a repository that is not there', 2, { ...usual, model: 'org/nobody' }],
    ['a folder that is no checkpoint', 2, { ...usual, 'resume-from-checkpoint': 'base' }],
    ['a step that goes wrong', 1, { ...usual, 'output-dir': 'wrong', 'learning-rate': '1e30' }],
  ];
  for (const [what, code, options] of runs) {
    const outcome = await bertune(['train', ...flags(options)], { cwd: folder, wrapper });
    t.equal(outcome.code, code, `${what}: ${outcome.stderr}`);
    t.notMatch(outcome.stderr + outcome.stdout, TOKEN, what);
  }
  t.ok(sentTo('hub').has(`Bearer ${TOKEN}`), 'it was in use');
  t.ok(readdirSync(join(folder, 'out/checkpoint-4')).includes('bertune_state.json'));
  t.same(filesWithToken(), []);
});
