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
    // The declarations of a pool are for TypeScript before 5.7 too, in which a typed array does not have the type of its buffer.
    const transfer = [packed.ids, packed.ends, packed.typeIds, packed.offsets].flatMap((array) =>
      array?.buffer instanceof ArrayBuffer ? [array.buffer] : [],
    );
    parentPort?.postMessage({ job, packed } satisfies WorkerReply, transfer);
  } catch (error) {
    parentPort?.postMessage({ job, error: messageOf(error) } satisfies WorkerReply, []);
  }
});
