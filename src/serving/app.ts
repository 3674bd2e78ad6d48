// The routes of the server: limits on what comes in, and a status with {"error": ...} for all that goes wrong.
import { Hono } from 'hono';
import type { ContentfulStatusCode } from 'hono/utils/http-status';
import { messageOf, RunError, UsageError } from '../util/errors.js';
import type { Classifier } from './classifier.js';
import { ClassifierClosedError, QueueFullError } from './errors.js';
import { answerOf, entityAnswer, parseRequest, parseTokenRequest, RequestError } from './inference-api.js';
import type { ServerMetrics } from './metrics.js';

/** What a request may have. */
export interface Limits {
  readonly maxClientBatchSize: number;
  /** In bytes. */
  readonly payloadLimit: number;
  /** In seconds. */
  readonly requestTimeout: number;
}

/** Bodies that are being read hold at most this many of the largest together. */
const MOST_BODIES = 64;
/** Bytes that the first chunk of a body gets. */
const LEAST_ROOM = 4096;
/** nginx's status for a client that did not wait; only the metrics show it. */
const CLIENT_GONE = 499;
const RETRY = { 'Retry-After': '1' };
/** What is left of the body is not read. */
const CLOSE = { Connection: 'close' };

/** @param log for failures of the server that no client can mend */
export function createApp(
  classifier: Classifier,
  limits: Limits,
  { metrics, log }: { metrics: ServerMetrics; log: (line: string) => void },
): Hono {
  const app = new Hono();
  const bodies = new Bodies(limits.payloadLimit);

  app.use('/', async (c, next) => {
    const began = performance.now();
    await next();
    if (c.req.method === 'POST') metrics.request(c.res.status, (performance.now() - began) / 1000);
  });
  app.post('/', async (c) => {
    requireJson(c.req.header('content-type'));
    requireRoom(classifier);
    const answers = await timed(c.req.raw, limits.requestTimeout, async (signal, bodyIsRead) => {
      const body = await bodies.read(c.req.raw, signal);
      bodyIsRead();
      if (classifier.model.task.kind.unit === 'token') {
        const { texts, isList, aggregationStrategy } = parseTokenRequest(body, limits.maxClientBatchSize);
        const asked = aggregationStrategy === undefined ? {} : { aggregationStrategy };
        const found = await classifier.extractEntities(texts, { signal, ...asked });
        const strategy = aggregationStrategy ?? classifier.aggregationStrategy;
        const entities = found.map((own) => own.map((entity) => entityAnswer(entity, strategy)));
        return isList ? entities : (entities[0] ?? []);
      }
      const { texts, parameters } = parseRequest(body, limits.maxClientBatchSize);
      const logits = await classifier.logits(texts, { signal });
      return logits.map((row) => answerOf(classifier.model, row, parameters));
    });
    return c.json(answers);
  });
  app.get('/health', (c) => {
    if (classifier.isClosing) throw new ClassifierClosedError();
    if (classifier.failure !== undefined) throw new RequestError(503, classifier.failure.message);
    return c.json({ status: 'ok' });
  });
  app.get('/metrics', async (c) => {
    const { text, contentType } = await metrics.read();
    return c.body(text, 200, { 'Content-Type': contentType });
  });

  const routes = { '/': 'POST', '/health': 'GET, HEAD', '/metrics': 'GET, HEAD' };
  for (const [path, methods] of Object.entries(routes))
    app.all(path, () => {
      const what = path === '/' ? `${methods} of {"inputs": "a text"} as application/json` : methods;
      throw new RequestError(405, `${path} takes ${what}`, { Allow: methods });
    });
  app.notFound((c) =>
    c.json({ error: 'There is no such path: POST / takes {"inputs": ...}; GET /health, GET /metrics' }, 404),
  );
  app.onError((error, c) => {
    const { status, message, headers } = responseTo(error);
    if (status === 500) log(`a request failed: ${messageOf(error)}`);
    // The type has the statuses of the standard only.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    return c.json({ error: message }, status as ContentfulStatusCode, { ...headers });
  });
  return app;
}

function responseTo(error: Error): Pick<RequestError, 'status' | 'message' | 'headers'> {
  if (error instanceof RequestError) return error;
  if (error instanceof QueueFullError)
    return { status: 429, message: 'The queue is full; try again later', headers: { ...RETRY, ...CLOSE } };
  if (error instanceof ClassifierClosedError)
    return { status: 503, message: 'The server is stopping', headers: { ...RETRY, ...CLOSE } };
  if (error instanceof UsageError) return { status: 422, message: error.message, headers: {} };
  return { status: 500, message: error instanceof RunError ? error.message : 'Internal error', headers: {} };
}

/** A page of another site can send other types without the browser asking first. */
function requireJson(type = ''): void {
  if (/^application\/json\s*(;|$)/i.test(type)) return;
  throw new RequestError(
    415,
    'The body is JSON: send it with the header Content-Type: application/json',
    CLOSE,
  );
}

/** Before the body is read. */
function requireRoom(classifier: Classifier): void {
  if (classifier.isClosing) throw new ClassifierClosedError();
  if (classifier.isFull) throw new QueueFullError('The queue is full');
}

/**
 * Work of which the signal is aborted when its time is over, or its client gone.
 *
 * @param work calls its second argument when the client has sent all
 * @throws RequestError 408 where the client did not send all in time, 504 where the answer took too long
 */
async function timed<T>(
  { signal: client }: Request,
  seconds: number,
  work: (signal: AbortSignal, bodyIsRead: () => void) => Promise<T>,
): Promise<T> {
  const controller = new AbortController();
  let isRead = false;
  const late = (): RequestError =>
    isRead
      ? new RequestError(504, `There was no answer within ${seconds} seconds`, RETRY)
      : new RequestError(408, `The request did not arrive within ${seconds} seconds`, CLOSE);
  const gone = (): void => controller.abort(new RequestError(CLIENT_GONE, 'The client has gone'));
  const timer = setTimeout(() => controller.abort(late()), seconds * 1000);
  client.addEventListener('abort', gone);
  try {
    if (client.aborted) gone();
    return await work(controller.signal, () => (isRead = true));
  } finally {
    clearTimeout(timer);
    client.removeEventListener('abort', gone);
  }
}

/** Reads bodies, of which each and all together have a limit: slow ones cost what they have sent, not what they may send. */
class Bodies {
  readonly #limit: number;
  #held = 0;

  /** @param limit of a body, in bytes */
  constructor(limit: number) {
    this.#limit = limit;
  }

  /** @throws RequestError 413 or 429 for too many bytes; the signal's reason */
  async read({ headers, body }: Request, signal: AbortSignal): Promise<Uint8Array> {
    signal.throwIfAborted();
    if (Number(headers.get('content-length') ?? 0) > this.#limit) throw this.#tooLarge();
    if (body === null) return new Uint8Array();
    const reader = body.getReader();
    const stop = (): void => void reader.cancel(signal.reason).catch(() => undefined);
    signal.addEventListener('abort', stop);
    let bytes = new Uint8Array(LEAST_ROOM);
    let size = 0;
    try {
      for (;;) {
        const { done, value } = await reader.read();
        signal.throwIfAborted();
        if (done) return bytes.subarray(0, size);
        const before = size;
        size += value.length;
        this.#held += value.length;
        if (size > this.#limit) throw this.#tooLarge();
        if (this.#held > MOST_BODIES * this.#limit)
          throw new RequestError(429, 'Too much is being sent at a time; try again later', {
            ...RETRY,
            ...CLOSE,
          });
        // Copied: chunks of a byte each would take a hundred times their size.
        if (size > bytes.length) {
          const larger = new Uint8Array(Math.max(2 * bytes.length, size));
          larger.set(bytes);
          bytes = larger;
        }
        bytes.set(value, before);
      }
    } finally {
      this.#held -= size;
      signal.removeEventListener('abort', stop);
    }
  }

  #tooLarge(): RequestError {
    return new RequestError(413, `The body has more than ${this.#limit} bytes; send less at a time`, CLOSE);
  }
}
