// Gradients summed from GPU to GPU by NCCL: two sessions with half of each batch are one with all of it, on two GPUs where there are
// two; and on one GPU a session that is all of its world has the bits of one without.
import { freePort } from '../../../dist/distributed/launch.js';
import { deviceInfo, openWorld } from '../../../dist/index.js';
import { ADAMW, batchOf, bitsOf, distance, openSession, SMALL } from '../training.mjs';

const CONFIG = { ...SMALL, hidden_dropout_prob: 0, attention_probs_dropout_prob: 0 };
const BATCHES = [
  [33, 7, 64, 21],
  [60, 60, 60, 60],
  [5, 9, 12, 40],
];
const STEPS = 9;

/** @param {import('../part.mjs').Context} context */
export async function run({ device, check, note }) {
  if (!device.startsWith('cuda')) return note('gradients between CPUs are those of npm run test:tooling');
  const gpus = Math.min(deviceInfo().cudaDevices.length, 2);
  const devices = gpus === 1 ? [device] : ['cuda:0', 'cuda:1'];
  note(`${gpus === 1 ? 'one GPU' : 'two GPUs'}, sessions of one process`);
  const [alone] = await train([device]);
  if (alone === undefined) return;
  for (const reduceDtype of /** @type {const} */ (['float32', 'bfloat16'])) {
    const all = await train(devices, reduceDtype);
    const [first = alone, second = first] = all;
    check(
      `${reduceDtype}: NCCL sums`,
      all.every(({ problem }) => problem === ''),
      first.problem,
    );
    check(`${reduceDtype}: all have the same bits`, first.bits === second.bits);
    if (gpus === 1 && reduceDtype === 'float32')
      check('one rank: the bits of a session without a world', first.bits === alone.bits);
    const losses = first.losses.map((loss, i) => loss + (gpus === 1 ? 0 : (second.losses[i] ?? NaN)));
    const error = distance(losses, alone.losses);
    const most = reduceDtype === 'float32' ? 1e-5 : 1e-2;
    check(`${reduceDtype}: the losses of one session`, error <= most, `within ${error.toExponential(1)}`);
  }
}

/**
 * @param {readonly string[]} devices one for each session
 * @param {'float32' | 'bfloat16'} [reduceDtype] left out, a session is of no world
 */
async function train(devices, reduceDtype) {
  const size = devices.length;
  const address = {
    host: '127.0.0.1',
    port: await freePort(),
    size,
    prefix: 'check',
    interface: '127.0.0.1',
  };
  return Promise.all(
    devices.map(async (device, rank) => {
      const { session, vocabSize } = await openSession({ device, dtype: 'float32', config: CONFIG });
      const world =
        reduceDtype && (await openWorld({ ...address, rank, isServer: rank === 0, timeout: 60_000 }));
      const problem =
        (await world?.join(session, { reduceDtype: reduceDtype ?? 'float32', nccl: true })) ?? '';
      const losses = [];
      for (let step = 0; step < STEPS; step++) {
        const lengths = BATCHES[step % BATCHES.length] ?? [];
        const whole = batchOf(lengths, vocabSize, step);
        const mine = partOf(whole, rank, size);
        await Promise.all([
          session.accumulate(mine, { divisor: lengths.length, endsStep: true }),
          session.update(ADAMW),
        ]);
        losses.push((await session.stats()).loss);
      }
      const bits = await bitsOf(session);
      await session.close();
      await world?.close();
      return { losses, bits, problem };
    }),
  );
}

/** @param {ReturnType<typeof batchOf>} batch @param {number} rank @param {number} size */
function partOf({ inputIds, cuSeqlens, labels }, rank, size) {
  const rows = labels.length / size;
  const offsets = cuSeqlens.slice(rank * rows, (rank + 1) * rows + 1);
  const [first = 0] = offsets;
  return {
    inputIds: inputIds.slice(first, offsets.at(-1)),
    cuSeqlens: offsets.map((offset) => offset - first),
    labels: labels.slice(rank * rows, (rank + 1) * rows),
  };
}
