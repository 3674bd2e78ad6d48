// Reads a card within limits of time and memory, since reading YAML may take much of both.
import { Worker } from 'node:worker_threads';
import { UsageError } from '../util/errors.js';
import type { CardReply, CardRequest } from './card-thread.js';
import { parseDatasetCard, type DatasetCard } from './dataset-card.js';

/** Characters that even the worst card cannot make last. Nearly all cards are shorter, and need no thread. */
const SHORT = 32_768;
const LIMITS = { seconds: 20, megabytes: 512 };

/** As `parseDatasetCard`. @throws UsageError also for a long card that takes more than the limits to read */
export async function readDatasetCard(
  readme: string,
  where: string,
  { seconds, megabytes } = LIMITS,
): Promise<DatasetCard> {
  if (readme.length <= SHORT) return parseDatasetCard(readme, where);
  const request: CardRequest = { readme, where };
  const worker = new Worker(new URL('card-thread.js', import.meta.url), {
    workerData: request,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: megabytes },
  });
  const reply = await new Promise<CardReply>((resolve) => {
    const tooMuch = (): void =>
      resolve({
        fault: `${where} takes more than ${seconds} s or ${megabytes} MB to read: give the files of the data set instead of its id`,
      });
    const timer = setTimeout(tooMuch, seconds * 1000);
    worker
      .on('message', resolve)
      .on('error', tooMuch)
      .on('exit', tooMuch)
      .once('exit', () => clearTimeout(timer));
  });
  await worker.terminate();
  if ('fault' in reply) throw new UsageError(reply.fault);
  return reply.card;
}
