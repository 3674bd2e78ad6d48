// From a file of texts to an end: a training, an evaluation and predictions, with all that surrounds the steps.
import { stat } from 'node:fs/promises';
import { join } from 'node:path';
import { ourBuild } from '../../bench/builds.mjs';
import { shapeOf } from '../../bench/shape.mjs';
import { projectRoot } from '../../setup/paths.mjs';
import { writeTexts } from '../texts.mjs';

/** @param {import('../part.mjs').Context} context */
export async function run({ device, best, isSmall, folder, figure, check }) {
  const tokenizer = join(projectRoot, 'configs', 'quickstart-model');
  const data = join(folder, 'reviews.csv');
  const [trained, read] = isSmall ? [24, 24] : [5000, 10_000];
  await writeTexts(data, read, { tokenizer, scale: isSmall ? 0.1 : 1 });
  figure('a file of texts', (await stat(data)).size / 1e6, 'MB');
  const shape = shapeOf(isSmall ? '1x64x2' : '12x768x12');
  const job = {
    data,
    tokenizer,
    shape,
    batchSize: 16,
    device,
    dtype: best,
    threads: 2,
  };

  const training = await ourBuild.worker({ task: 'train', ...job, rows: trained });
  figure(`a training on ${trained} texts, batch 16`, training.seconds, 's');
  figure('its tokens', training.tokens / training.seconds, 'a second');
  figure('its share of waiting for texts', 100 * training.dataWait, '%', 'under 2');
  if (!isSmall)
    check(
      'it waits for texts at most 2 % of the time',
      training.dataWait <= 0.02,
      `${(100 * training.dataWait).toFixed(1)} %`,
    );
  for (const [task, words] of /** @type {const} */ ([
    ['evaluate', 'an evaluation'],
    ['predict', 'predictions'],
  ])) {
    const measured = await ourBuild.worker({ task, ...job, rows: read, batchSize: 64 });
    figure(`${words} of ${read} texts, batch 64`, measured.seconds, 's');
    figure(`its tokens`, measured.tokens / measured.seconds, 'a second');
  }
}
