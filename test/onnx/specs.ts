// Graphs of specs that are no BERT's, in onnxruntime: norms before the layers, no biases, projections, means, logits of tokens, shared
// layers, other activations. Expected values are those of an interpreter of the same specs in PyTorch, float64
// (scripts/reference/encoder_specs.py).
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { writeOnnx } from '../../dist/formats/onnx.js';
import type { SessionSpec } from '../../dist/native/index.js';
import { modelGraph } from '../../dist/onnx/encoder.js';
import { contentReader } from '../../dist/onnx/graph.js';
import { runOnnx } from '../fixtures/onnxruntime.js';
import { seededWeight } from '../fixtures/seeded.js';
import { maxRelative, sizeOf } from '../fixtures/session.js';

interface Case {
  name: string;
  spec: SessionSpec;
  batch: { inputIds: number[]; lengths: number[]; tokenTypeIds?: number[] };
  logits: number[];
}

const { scale, cases } = JSON.parse(
  readFileSync(new URL('../fixtures/encoder-specs.json', import.meta.url), 'utf8'),
) as { scale: number; cases: Case[] };

/** The tensors of a model by name, as the reference has them. */
function weightsOf({ parameters }: SessionSpec): Map<string, Float32Array> {
  return new Map(
    parameters.flatMap(({ shape, tensors }) =>
      tensors.map(({ name, rows }) => [name, seededWeight(name, sizeOf([rows, ...shape.slice(1)]), scale)]),
    ),
  );
}

async function written(
  { spec }: Case,
  path: string,
  options: Parameters<typeof modelGraph>[1] = {},
  limits: Parameters<typeof writeOnnx>[3] = {},
) {
  const weights = weightsOf(spec);
  const read = async (name: string): Promise<Float32Array> => weights.get(name) ?? new Float32Array();
  return writeOnnx(path, modelGraph(spec, options), contentReader(read), limits);
}

function rowsOf({ inputIds, lengths, tokenTypeIds }: Case['batch']) {
  const parts = (values: readonly number[]): number[][] => {
    let begin = 0;
    return lengths.map((length) => values.slice(begin, (begin += length)));
  };
  return { ids: parts(inputIds), ...(tokenTypeIds && { types: parts(tokenTypeIds) }) };
}

// Adapters are merged before, which models.ts looks at.
const plain = cases.filter(({ spec }) => spec.lora === undefined);
const folder = t.testdir();

for (const [i, each] of plain.entries())
  await t.test(each.name, async (t) => {
    const path = join(folder, `${i}.onnx`);
    await written(each, path);
    const rows = rowsOf(each.batch);
    const together = await runOnnx(path, rows);
    const error = maxRelative(together.flat(), each.logits);
    t.ok(error < 2e-5, `logits (${error})`);
    const more = await runOnnx(path, rows, Math.max(...each.batch.lengths) + 3);
    t.ok(maxRelative(more.flat(), each.logits) < 2e-5, 'with more padding');
    const [ids = []] = rows.ids;
    const alone = await runOnnx(path, { ids: [ids], ...(rows.types && { types: rows.types.slice(0, 1) }) });
    t.ok(maxRelative(alone.flat(), together[0] ?? []) < 2e-5, 'a row alone');
  });

t.test('tensors in a file of their own', async (t) => {
  const [each] = plain;
  if (each === undefined) throw new Error('no case');
  const path = join(folder, 'external.onnx');
  const { hasExternalData, bytes } = await written(each, path, {}, { mostBytes: 1000 });
  t.ok(hasExternalData);
  const sizes = [path, `${path}_data`].map((name) => readFileSync(name).length);
  t.equal(bytes, (sizes[0] ?? 0) + (sizes[1] ?? 0));
  t.ok((sizes[1] ?? 0) > (sizes[0] ?? 0), `${sizes.join(' and ')} bytes`);
  const logits = await runOnnx(path, rowsOf(each.batch));
  t.ok(maxRelative(logits.flat(), each.logits) < 2e-5, 'the same logits');
});

t.test('a temperature divides the logits', async (t) => {
  const [each] = plain;
  if (each === undefined) throw new Error('no case');
  const path = join(folder, 'temperature.onnx');
  await written(each, path, { temperature: 2.5 });
  const logits = await runOnnx(path, rowsOf(each.batch));
  t.ok(
    maxRelative(
      logits.flat().map((logit) => logit * 2.5),
      each.logits,
    ) < 2e-5,
  );
});

t.test('a text that was cut without its last token gets it back', async (t) => {
  const [each] = plain;
  if (each === undefined) throw new Error('no case');
  const [right, repaired] = [join(folder, 'right.onnx'), join(folder, 'repaired.onnx')];
  await written(each, right);
  await written(each, repaired, { lastToken: { id: 3, maxLength: 6 } });
  const of = (path: string, ids: number[][]): Promise<number[][]> => runOnnx(path, { ids });
  const cut = [5, 9, 9, 8, 7, 11];
  const whole = [5, 9, 9, 8, 7, 3];
  const short = [5, 9, 3];
  const long = [...cut, 12, 3];
  const expected = await of(right, [whole, short]);
  t.same(await of(repaired, [cut, short]), expected, 'of two texts the one that is cut');
  t.same(await of(repaired, [whole, short]), expected, 'one that is right stays');
  t.same(await of(repaired, [short]), await of(right, [short]), 'a short one too');
  t.same(await of(repaired, [long, cut]), await of(right, [long, cut]), 'and a batch that is longer');
});

t.test('a tensor of another size is refused', async (t) => {
  const [each] = plain;
  if (each === undefined) throw new Error('no case');
  const path = join(folder, 'wrong.onnx');
  await t.rejects(
    writeOnnx(path, modelGraph(each.spec), async () => new Uint8Array(3)),
    { message: /^Could not write .*wrong\.onnx: \S+ \[[\d, ]*\] came as 3 bytes$/ },
  );
});
