// Sums of gradients over two processes, whatever is trained: against the training of one. Both are in this process here, each with a
// session, a store's client and a group of its own, so that a case costs no start of a program.
import { join } from 'node:path';
import t from 'tap';

import {
  AutoModelForSequenceClassification,
  openWorld,
  parseConfig,
  type TrainingArguments,
  type World,
} from '../../dist/index.js';
import { ALONE } from '../../dist/distributed/world.js';
import { toyRun, weightsOf } from '../fixtures/run.js';
import { freePort } from '../../dist/distributed/launch.js';
import { TOY_CONFIG } from '../fixtures/toy.js';

const ROWS = 16;
const STEPS = 12;

interface Way {
  name: string;
  /** Of config.json, beside those of the toy model or instead of them. */
  config?: Record<string, unknown>;
  options?: Partial<TrainingArguments>;
}

const four = { num_hidden_layers: 4 };
const albert = { model_type: 'albert', embedding_size: 8, num_hidden_layers: 4, hidden_dropout_prob: 0.1 };
const deberta = {
  model_type: 'deberta-v2',
  relative_attention: true,
  pos_att_type: ['p2c', 'c2p'],
  position_buckets: 8,
  norm_rel_ebd: 'layer_norm',
  position_biased_input: false,
};
const frozen = { freeze: ['bert.embeddings', 'bert.encoder.layer.{0..1}'] };
const accumulation = { gradientAccumulationSteps: 3 };

const WAYS: Way[] = [
  { name: 'frozen layers at the bottom', config: four, options: frozen },
  { name: 'a frozen layer in the middle', config: four, options: { freeze: ['bert.encoder.layer.1'] } },
  { name: 'the head alone', options: { freeze: ['bert'] } },
  { name: 'gradual unfreezing', config: four, options: { gradualUnfreezing: 2 } },
  { name: 'gradual unfreezing and accumulation', options: { gradualUnfreezing: 3, ...accumulation } },
  { name: 'accumulation', options: accumulation },
  { name: 'ALBERT, whose layers are one', config: albert },
  {
    name: 'ALBERT with groups',
    config: { ...albert, num_hidden_groups: 2, inner_group_num: 2 },
    options: accumulation,
  },
  { name: 'DeBERTa-v2', config: deberta },
  { name: 'DeBERTa-v2, gradual unfreezing', config: deberta, options: { gradualUnfreezing: 3 } },
  { name: 'gradient checkpointing', options: { gradientCheckpointing: true, ...accumulation } },
  { name: 'automatic batch sizes', options: { autoFindBatchSize: true, ...accumulation } },
  {
    name: 'all of it',
    config: four,
    options: { ...frozen, ...accumulation, gradientCheckpointing: true, autoFindBatchSize: true },
  },
];

/** Losses, norms of gradients and weights of a training in a folder of its own. */
async function train(
  folder: string,
  { config, options }: Way,
  world: World,
): Promise<{ losses: number[]; norms: number[]; weights: Map<string, Float32Array> }> {
  const model = AutoModelForSequenceClassification.fromConfig(
    parseConfig({ ...TOY_CONFIG, ...config }, 'toy'),
    { numLabels: 2, labels: ['neg', 'pos'] },
  );
  const run = await toyRun(
    folder,
    {
      maxSteps: STEPS,
      loggingSteps: 1,
      learningRate: 1e-3,
      threads: 1,
      device: 'cpu',
      perDeviceTrainBatchSize: ROWS / world.size,
      ...options,
    },
    { world, model },
  );
  try {
    await run.trainer.train();
    const steps = run.trainer.state.log_history.filter(({ loss }) => loss !== undefined);
    return {
      losses: steps.map(({ loss = NaN }) => loss),
      norms: steps.map(({ grad_norm: norm = NaN }) => norm),
      weights: await weightsOf(run.model),
    };
  } finally {
    await run.close();
  }
}

async function twoWorlds(): Promise<World[]> {
  const port = await freePort();
  return Promise.all(
    [0, 1].map((rank) =>
      openWorld({
        host: '127.0.0.1',
        port,
        rank,
        size: 2,
        isServer: rank === 0,
        prefix: 'test',
        interface: '127.0.0.1',
        timeout: 60_000,
      }),
    ),
  );
}

function furthest(a: readonly number[], b: readonly number[]): number {
  return Math.max(...b.map((value, i) => Math.abs((a[i] ?? NaN) / value - 1)));
}

/** |a - b| / |b| of all weights together. */
function apart(a: Map<string, Float32Array>, b: Map<string, Float32Array>): number {
  let [difference, size] = [0, 0];
  for (const [name, values] of b)
    for (const [i, value] of values.entries()) {
      difference += ((a.get(name)?.[i] ?? NaN) - value) ** 2;
      size += value ** 2;
    }
  return Math.sqrt(difference / size);
}

const folder = t.testdir();

for (const [i, way] of WAYS.entries())
  await t.test(way.name, async (t) => {
    const alone = await train(join(folder, `${i}-alone`), way, ALONE);
    const worlds = await twoWorlds();
    const both = await Promise.all(
      worlds.map((world) => train(join(folder, `${i}-${world.rank}`), way, world)),
    );
    // Rank 0 has the store.
    for (const world of worlds.toReversed()) await world.close();
    const [first = alone, second = alone] = both;
    t.equal(alone.losses.length, STEPS);
    t.ok(new Set(alone.losses).size > STEPS / 2, 'the model learns');
    t.ok(
      furthest(first.losses, alone.losses) < 1e-5,
      `losses within ${furthest(first.losses, alone.losses)}`,
    );
    t.ok(furthest(first.norms, alone.norms) < 1e-4, `norms within ${furthest(first.norms, alone.norms)}`);
    t.ok(apart(first.weights, alone.weights) < 1e-4, `weights within ${apart(first.weights, alone.weights)}`);
    t.same(second.weights, first.weights, 'both have the same bits');
  });
