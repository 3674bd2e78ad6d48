// What a server counts, for Prometheus: names and units as its guides ask for.
import { collectDefaultMetrics, Counter, Gauge, Histogram, Registry } from 'prom-client';
import type { Classifier } from './classifier.js';
import type { Step } from './step-queue.js';

const SECONDS = [0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30];
const TEXTS = [1, 2, 4, 8, 16, 32, 64, 128, 256];
const TOKENS = [16, 32, 64, 128, 256, 512, 1024, 2048, 4096, 8192, 16_384];

/** The metrics of one server. */
export class ServerMetrics {
  readonly #registry = new Registry();
  #classifier: Classifier | undefined;
  readonly #requests: Counter<'status'>;
  readonly #requestSeconds: Histogram;
  readonly #steps: { texts: Histogram; tokens: Histogram; seconds: Histogram };
  readonly #texts: Counter;
  readonly #tokens: Counter;

  constructor() {
    const registers = [this.#registry];
    const histogram = (name: string, help: string, buckets: number[]): Histogram =>
      new Histogram({ name: `bertune_${name}`, help, buckets, registers });
    const counter = (name: string, help: string): Counter =>
      new Counter({ name: `bertune_${name}`, help, registers });
    collectDefaultMetrics({ register: this.#registry });
    this.#requests = new Counter({
      name: 'bertune_requests_total',
      help: 'Requests for labels, by the status of their answer; 499: the client went away before',
      labelNames: ['status'],
      registers,
    });
    this.#requestSeconds = histogram('request_duration_seconds', 'From a request to its answer', SECONDS);
    this.#steps = {
      texts: histogram('batch_texts', 'Texts that a step of the model had', TEXTS),
      tokens: histogram('batch_tokens', 'Tokens that a step of the model had', TOKENS),
      seconds: histogram('step_duration_seconds', 'Time that a step of the model took', SECONDS),
    };
    this.#texts = counter('texts_total', 'Texts that went through the model');
    this.#tokens = counter('tokens_total', 'Tokens that went through the model');
    const gauge = (name: string, help: string, read: (classifier: Classifier) => number): void => {
      const collect = (): void => {
        if (this.#classifier !== undefined) own.set(read(this.#classifier));
      };
      const own: Gauge = new Gauge({ name: `bertune_${name}`, help, registers, collect });
    };
    gauge('queue_length', 'Texts that wait for a step', ({ waiting }) => waiting);
    gauge('pending_texts', 'Texts without an answer yet', ({ pending }) => pending);
  }

  /** Whose queue is looked at when the metrics are read. */
  watch(classifier: Classifier): void {
    this.#classifier = classifier;
  }

  step({ texts, tokens, seconds }: Step): void {
    this.#steps.texts.observe(texts);
    this.#steps.tokens.observe(tokens);
    this.#steps.seconds.observe(seconds);
    this.#texts.inc(texts);
    this.#tokens.inc(tokens);
  }

  request(status: number, seconds: number): void {
    this.#requests.inc({ status: String(status) });
    this.#requestSeconds.observe(seconds);
  }

  async read(): Promise<{ text: string; contentType: string }> {
    return { text: await this.#registry.metrics(), contentType: this.#registry.contentType };
  }
}
