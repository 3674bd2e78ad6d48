// Three steps of a tiny model with everything that a training does at the native boundary, for valgrind. Says on the
// last line that it came to its end.
import { Session } from '../../../dist/native/index.js';
import { rightArguments, configOf } from './arguments.mjs';
import { SeededRandom } from '../../../scripts/fuzz/seeded-random.mjs';
import { bertSpec } from '../../fixtures/bert-spec.mjs';

const random = new SeededRandom(1);
const config = {
  ...configOf(random),
  hiddenSize: 48,
  numAttentionHeads: 2,
  numHiddenLayers: 2,
  intermediateSize: 80,
};
const session = await Session.create(bertSpec(config), {
  device: 'cpu',
  dtype: 'float32',
  threads: 2,
  seed: 1,
});
const call = (/** @type {'accumulate' | 'update' | 'predict'} */ name) =>
  Reflect.apply(session[name], session, rightArguments[name]?.(random, config, true) ?? []);
await session.restart({ gradientCheckpointing: true, neftuneNoiseAlpha: 5 });
for (let step = 0; step < 3; step++) {
  await call('accumulate');
  await call('update');
}
await call('predict');
await session.read('classifier.weight');
await session.stats();
await session.close();
process.stdout.write('trained\n');
