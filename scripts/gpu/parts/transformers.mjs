// A step beside transformers on the same device, eager and compiled by torch.compile, in alternation.
import { ourBuild } from '../../bench/builds.mjs';
import { openReference } from '../../bench/reference.mjs';
import { modelConfig, shapeOf } from '../../bench/shape.mjs';
import { PLAIN } from '../../bench/steps.mjs';
import { messageOf } from '../../setup/errors.mjs';

const VOCABULARY = 30522;
const BATCHES = /** @type {const} */ ([
  ['12x768x12', 32, 128],
  ['12x768x12', 8, 512],
  ['12x768x12', 64, 24],
  ['6x384x12', 16, 20],
]);
const SMALL = /** @type {const} */ ([['1x64x2', 2, 8]]);

/** @param {import('../part.mjs').Context} context */
export async function run({ device, best, gpu, isSmall, figure, note, skip }) {
  if (!process.env['BERTUNE_PYTHON']) return skip('BERTUNE_PYTHON names no Python');
  if (gpu?.startsWith('Fake GPU') === true) return skip('torch knows no stand-in');
  let reference;
  try {
    reference = await openReference(device);
  } catch (error) {
    return skip(messageOf(error));
  }
  note(reference.versions);
  const { worker } = reference;
  try {
    for (const [text, rows, length] of isSmall ? SMALL : BATCHES) {
      const shape = shapeOf(text);
      const config = modelConfig(shape, isSmall ? 1000 : VOCABULARY, ['0', '1']);
      const count = isSmall ? { warmUp: 1, steps: 1 } : { warmUp: 10, steps: 30 };
      const job = {
        task: 'step',
        config,
        rows,
        length,
        ...count,
        threads: 2,
        device,
        dtype: best,
      };
      const title = `${text}, ${rows} x ${length}`;
      /** @type {readonly (readonly [string, () => Promise<{ seconds: number }>])[]} */
      const sides = [
        ['bertune', () => ourBuild.worker({ ...job, shape, variant: PLAIN })],
        ['transformers, eager', () => worker({ ...job, variant: { ...PLAIN, frozen: [] }, compile: false })],
        // A compiled model takes half a minute to start.
        ...(isSmall || length !== 128
          ? []
          : [
              /** @type {const} */ ([
                'transformers, compiled',
                () => worker({ ...job, variant: { ...PLAIN, frozen: [] }, compile: true }),
              ]),
            ]),
      ];
      let ours = NaN;
      for (const [name, measure] of sides) {
        const { seconds } = await measure();
        if (name === 'bertune') ours = seconds;
        figure(`${title}: ${name}`, seconds * 1000, 'ms');
        if (name !== 'bertune') figure(`${title}: bertune is faster by`, seconds / ours, 'times');
      }
    }
  } finally {
    reference.close();
  }
}
