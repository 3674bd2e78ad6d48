// `bertune serve`: a trained model behind HTTP until a signal ends it.
import { once } from 'node:events';
import { requireDevice } from '../models/encoder-model.js';
import { serveCommand, type ServeOptions } from '../options/index.js';
import { createApp } from '../serving/app.js';
import { createClassifier } from '../serving/classifier.js';
import { ServerMetrics } from '../serving/metrics.js';
import { isLoopback, startServer } from '../serving/server.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { openTrained } from './model-source.js';
import { CommandProgress } from './output.js';
import { StopSignals } from './stop.js';

/** @throws UsageError for a model that cannot be used, and an address on which it cannot listen */
export async function serve(asked: ServeOptions): Promise<void> {
  const progress = new CommandProgress(asked);
  requireDevice(asked);
  const { model, tokenizer, options, maxLength } = await openTrained(serveCommand, asked, progress);
  try {
    const { device, dtype, tf32, threads, dataloaderNumWorkers, pooling, aggregationStrategy } = options;
    const { maxWait, maxBatchTokens, maxQueue } = options;
    const metrics = new ServerMetrics();
    await using classifier = await createClassifier(model, {
      tokenizer,
      onStep: (step) => metrics.step(step),
      maxSeqLength: maxLength,
      stride: options.stride ?? 'none',
      ...withoutUndefined({
        device,
        dtype,
        tf32,
        threads,
        dataloaderNumWorkers,
        pooling,
        aggregationStrategy,
      }),
      ...withoutUndefined({ maxWait, maxBatchTokens, maxQueue }),
    });
    metrics.watch(classifier);
    const log = (line: string): void => progress.line(line);
    const server = await startServer(createApp(classifier, options, { metrics, log }), options);
    const signals = new StopSignals(progress, 'finishing the requests that have arrived');
    try {
      if (!isLoopback(options.host))
        progress.line(
          `note: ${options.host} is open to its network, and there is no authentication: put a proxy before it that has one`,
        );
      progress.line(`Predicting on ${model.placement}`);
      progress.line(
        `Serving ${options.model} at ${server.url} (POST /, GET /health, GET /metrics); Ctrl-C stops it`,
      );
      if (!signals.signal.aborted) await once(signals.signal, 'abort');
      // New requests on open connections are refused from now on.
      await Promise.all([classifier.close(), server.stop()]);
    } finally {
      signals.release();
    }
  } finally {
    await model.close();
  }
}
