// The models of all families, in small: logits, losses and gradients on the device beside the CPU's in float32, which the tests
// hold against transformers.
import { existsSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { AutoModelForSequenceClassification } from '../../../dist/index.js';
import { projectRoot } from '../../setup/paths.mjs';
import { batchOf } from '../training.mjs';

const FAMILIES = join(projectRoot, 'test', 'fixtures', 'families');
const VOCABULARY = 90; // all of them have a hundred tokens
const LENGTHS = [17, 3, 25, 9, 1];

/** @param {import('../part.mjs').Context} context */
export async function run({ device, dtypes, check, skip }) {
  if (!existsSync(FAMILIES)) return skip('the models are in a checkout only: test/fixtures/families');
  const names = (await readdir(FAMILIES)).filter((name) =>
    existsSync(join(FAMILIES, name, 'model', 'config.json')),
  );
  for (const name of names) {
    const expected = await stepOf(name, 'cpu', 'float32');
    for (const dtype of dtypes) {
      const tolerance = { float32: 1e-4, bfloat16: 8e-2 }[dtype];
      const found = await stepOf(name, device, dtype);
      const errors = {
        logits: relative(found.logits, expected.logits),
        loss: Math.abs(found.loss / expected.loss - 1),
        gradients: relative(found.gradients, expected.gradients),
      };
      const worst = Object.entries(errors).map(([what, error]) => `${what} ${error.toExponential(1)}`);
      check(
        `${name}, ${dtype}`,
        Object.values(errors).every((error) => error <= tolerance),
        worst.join(', '),
      );
    }
  }
}

/** @param {string} name @param {string} device @param {'float32' | 'bfloat16'} dtype */
async function stepOf(name, device, dtype) {
  const model = await AutoModelForSequenceClassification.fromPretrained(join(FAMILIES, name, 'model'));
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- machineFacts gave it
  const session = await model.open({ device: /** @type {'cpu'} */ (device), dtype, threads: 2, seed: 1 });
  await session.restart();
  const batch = batchOf(LENGTHS, VOCABULARY);
  const logits = await session.predict(batch);
  await session.accumulate(batch, { divisor: LENGTHS.length });
  const { loss } = await session.stats();
  const gradients = [];
  for (const { name: tensor } of session.tensors())
    gradients.push(...(await session.read(tensor, 'gradient')));
  await model.close();
  return { logits, loss, gradients };
}

/** |a - b| / |b| in the Euclidean norm. @param {ArrayLike<number>} a @param {ArrayLike<number>} b */
function relative(a, b) {
  let [difference, whole] = [a.length === b.length ? 0 : NaN, 0];
  for (let i = 0; i < b.length; i++) {
    difference += ((a[i] ?? NaN) - (b[i] ?? NaN)) ** 2;
    whole += (b[i] ?? NaN) ** 2;
  }
  return Math.sqrt(difference / whole);
}
