// Masked language models where people use them: the exported model in transformers.js, and the saved one in transformers' pipeline,
// give the words and scores that our logits have; and transformers.js loads those of all families.
import { execFileSync } from 'node:child_process';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { AutoModelForMaskedLM as TheirModel, env, pipeline, Tensor } from '@huggingface/transformers';
import t, { type Test } from 'tap';

import { AutoModelForMaskedLM, AutoTokenizer } from '../../dist/index.js';
import { softmax } from '../../dist/tasks/index.js';
import { bertune, flags, type Options } from '../fixtures/cli.js';
import { maxRelative, readJson } from '../fixtures/families.js';
import { RUNTIME } from '../fixtures/family-sessions.js';
import { toyRow } from '../fixtures/toy.js';
import { succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

interface Word {
  token: number;
  score: number;
  sequence: string;
}

const TOP = 5;
const folder = t.testdir();
const { here, write } = workspace(folder);
env.allowRemoteModels = false;
env.localModelPath = `${folder}/`;

const textsFrom = (first: number, count: number): string[] =>
  Array.from({ length: count }, (_, row) => toyRow(first + row).text);
write('train.txt', textsFrom(0, 60).join('\n'));
/** Each with one word masked. */
const TEXTS = textsFrom(500, 20).map((text, row) => {
  const words = text.split(' ');
  return words.with(row % words.length, '[MASK]').join(' ');
});
const training: Options = {
  ...toyTraining,
  task: 'masked-lm',
  'train-file': 'train.txt',
  'line-by-line': true,
  dtype: 'float32',
  'output-dir': 'out',
};
succeeded(t, 'train', await bertune(['train', ...flags(training)], here));
const exporting = { model: 'out', 'output-dir': 'out-onnx', dtype: 'fp32,q8' };
succeeded(t, 'export', await bertune(['export', ...flags(exporting)], here));

/** The most probable words of the mask in each text. */
async function ownWords(): Promise<Pick<Word, 'token' | 'score'>[][]> {
  const model = await AutoModelForMaskedLM.fromPretrained(join(folder, 'out'));
  const tokenizer = await AutoTokenizer.fromPretrained(join(folder, 'out'));
  const session = await model.open(RUNTIME);
  const mask = tokenizer.tokenToId('[MASK]') ?? NaN;
  const found: Pick<Word, 'token' | 'score'>[][] = [];
  for (const text of TEXTS) {
    const { ids } = tokenizer.encode(text);
    const logits = await session.predict({ inputIds: ids, cuSeqlens: Int32Array.of(0, ids.length) });
    const width = logits.length / ids.length;
    const place = ids.indexOf(mask);
    const scores = softmax(logits.subarray(place * width, (place + 1) * width));
    const ranked = scores.map((score, token) => ({ token, score })).toSorted((a, b) => b.score - a.score);
    found.push(ranked.slice(0, TOP));
  }
  await model.close();
  return found;
}

const own = await ownWords();

function compare(t: Test, theirs: readonly (readonly Pick<Word, 'token' | 'score'>[])[]): void {
  const apart = own.flatMap((words, i) =>
    words.map(({ score }, rank) => Math.abs(score - (theirs[i]?.[rank]?.score ?? NaN))),
  );
  t.ok(Math.max(...apart) < 1e-5, `scores differ by ${Math.max(...apart)}`);
  // Words with scores that are equal but for rounding may stand in either order.
  const sets = (all: typeof theirs): number[][] =>
    all.map((words, i) => {
      const last = own[i]?.at(-1)?.score ?? NaN;
      return words
        .filter(({ score }) => score > last + 1e-5)
        .map(({ token }) => token)
        .toSorted((a, b) => a - b);
    });
  t.same(sets(theirs), sets(own), 'the same words');
}

t.test('transformers.js', async (t) => {
  const fill = await pipeline('fill-mask', 'out-onnx', { dtype: 'fp32' });
  compare(t, await fill(TEXTS, { top_k: TOP }));
  const byDefault = await pipeline('fill-mask', 'out-onnx', { dtype: 'q8' });
  const words = await byDefault(TEXTS, { top_k: TOP });
  const same = words.filter(([first], i) => first?.token === own[i]?.[0]?.token).length;
  t.ok(same >= 0.8 * TEXTS.length, `in 8 bits ${same} of ${TEXTS.length} first words are the same`);
});

const PYTHON = process.env['BERTUNE_PYTHON'];
const PIPELINE = `
import json, sys
from transformers import pipeline
given = json.load(sys.stdin)
fill = pipeline("fill-mask", model=given["model"], device="cpu")
print(json.dumps([[{"token": one["token"], "score": one["score"]} for one in words] for words in fill(given["texts"], top_k=given["top"])]))
`;

t.test("transformers' pipeline", { skip: PYTHON === undefined && 'BERTUNE_PYTHON is not set' }, async (t) => {
  const input = JSON.stringify({ model: join(folder, 'out'), texts: TEXTS, top: TOP });
  const stdio: ['pipe', 'pipe', 'ignore'] = ['pipe', 'pipe', 'ignore'];
  const answer = execFileSync(PYTHON ?? '', ['-c', PIPELINE], { input, encoding: 'utf8', stdio });
  compare(t, JSON.parse(answer) as Word[][]);
});

t.test('transformers.js loads every family', async (t) => {
  const fixtures = fileURLToPath(new URL('../fixtures/masked-lm/', import.meta.url));
  const wantedOf = readJson(join(fixtures, 'expected.json')) as Record<
    string,
    { batch: { ids: number[][]; labels: number[][] }; logits: number[] }
  >;
  for (const [family, { batch, logits: wanted }] of Object.entries(wantedOf)) {
    const model = await AutoModelForMaskedLM.fromPretrained(join(fixtures, family));
    await model.open(RUNTIME);
    await model.exportOnnx(join(folder, family), { dtypes: ['fp32'] });
    await model.close();
    const theirs = await TheirModel.from_pretrained(family, { dtype: 'fp32' });
    const found: number[] = [];
    for (const [i, ids] of batch.ids.entries()) {
      const of = (values: readonly number[]): Tensor =>
        new Tensor('int64', BigInt64Array.from(values, BigInt), [1, values.length]);
      const { logits } = (await theirs({ input_ids: of(ids), attention_mask: of(ids.map(() => 1)) })) as {
        logits: Tensor;
      };
      const [rows = []] = logits.tolist() as number[][][];
      for (const [place, label] of (batch.labels[i] ?? []).entries())
        if (label !== -100) found.push(...(rows[place] ?? []));
    }
    t.ok(
      maxRelative(found, wanted) < 1e-5,
      `${family}: logits of transformers (${maxRelative(found, wanted)})`,
    );
  }
});
