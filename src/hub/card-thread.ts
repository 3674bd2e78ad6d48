// A thread that reads one long card, so that it can be ended. Run by read-card.ts.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../util/errors.js';
import { parseDatasetCard, type DatasetCard } from './dataset-card.js';

/** What the thread is given. */
export interface CardRequest {
  readonly readme: string;
  readonly where: string;
}

/** What it answers: the card, or what is wrong with it. */
export type CardReply = { card: DatasetCard } | { fault: string };

const { readme, where }: CardRequest = workerData;

function reply(): CardReply {
  try {
    return { card: parseDatasetCard(readme, where) };
  } catch (error) {
    return { fault: messageOf(error) };
  }
}

parentPort?.postMessage(reply(), []);
