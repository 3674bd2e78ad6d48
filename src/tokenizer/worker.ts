// A tokenizer thread: receives lists of texts, answers with their ids, packed and transferred.
import { parentPort, workerData } from 'node:worker_threads';
import { messageOf } from '../util/errors.js';
import { packEncodings, type WorkerReply, type WorkerRequest, type WorkerSetup } from './pool.js';
import { SequenceEncoder } from './sequence-encoder.js';

const { spec, encodeOptions }: WorkerSetup = workerData;
const encoder = new SequenceEncoder(spec);

parentPort?.on('message', ({ job, examples }: WorkerRequest) => {
  try {
    const packed = packEncodings(
      examples.map(({ text, textPair }) => encoder.encode(text, textPair, encodeOptions)),
    );
    const transfer = [
      packed.ids.buffer,
      packed.ends.buffer,
      ...(packed.typeIds ? [packed.typeIds.buffer] : []),
    ];
    parentPort?.postMessage({ job, packed } satisfies WorkerReply, transfer);
  } catch (error) {
    parentPort?.postMessage({ job, error: messageOf(error) } satisfies WorkerReply, []);
  }
});
