// The thread that reads one long card, so that it can be ended; started by `readDatasetCard`.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../util/errors.js';
import { type CardReply, type CardRequest, parseDatasetCard } from './dataset-card.js';

const { readme, where }: CardRequest = workerData;

function reply(): CardReply {
  try {
    return { card: parseDatasetCard(readme, where) };
  } catch (error) {
    return { fault: messageOf(error) };
  }
}

parentPort?.postMessage(reply(), []);
