// One request to the hub: the token, redirects, a sentence for each way the hub can refuse, and what is tried again.
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, RunError, UsageError } from '../util/errors.js';
import { printable, type Repo, titleOf } from './repo.js';
import type { HubSettings } from './settings.js';

const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const PASSING = new Set([408, 429, 500, 502, 503, 504]);

/** A 200 or 206. */
export interface Answer {
  readonly status: number;
  readonly headers: Headers;
  /** The content, decompressed; a connection that breaks is thrown as HubUnavailable. */
  readonly body: AsyncIterable<Uint8Array>;
}

/** An answer that is neither content nor one of the reasons below. */
export class UnexpectedStatus extends RunError {
  constructor(
    message: string,
    readonly status: number,
  ) {
    super(message);
  }
}

/** The hub has no such repository or revision, or does not show it. */
export class NotFound extends UsageError {
  constructor(
    message: string,
    readonly missing: 'repository' | 'revision',
  ) {
    super(message);
  }
}

/** Sends one GET and resolves to a 200 or 206; any other answer is thrown. */
export type Get = (url: string, headers: Record<string, string>, signal: AbortSignal) => Promise<Answer>;

/**
 * A GET for one repository. Redirects are followed by hand, because the hub sends large files to another host and
 * old names (`imdb`) to new ones: the token goes to the endpoint's own origin only.
 *
 * @throws HubUnavailable (network, 5xx, 429), UsageError (401, 403, 404) or RunError (anything else)
 */
export function createGet(settings: HubSettings, repo: Repo): Get {
  return async (url, headers, signal) => {
    const response = await follow(settings, url, { headers, signal, withToken: true });
    const { status } = response;
    if (status === 200 || status === 206)
      return { status, headers: response.headers, body: bodyOf(response, signal) };
    const error = refusal(response, settings, repo);
    await discard(response);
    throw error;
  };
}

/** One request, of which the body can be sent again. */
export interface HubRequest {
  readonly method?: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body?: string | Blob | undefined;
  readonly signal: AbortSignal;
  /** Whether the endpoint is sent the token; no other origin is. */
  readonly withToken: boolean;
}

export async function follow(settings: HubSettings, start: string, request: HubRequest): Promise<Response> {
  const home = new URL(settings.endpoint);
  const { signal, method = 'GET', body } = request;
  let url = addressFrom(home, start);
  let atHome = request.withToken;
  for (let hops = 0; hops < 10; hops++) {
    // Never again once another origin redirected: it must not choose what is requested with the token.
    atHome &&= url.origin === home.origin;
    const authorization =
      settings.token !== null && atHome ? { authorization: `Bearer ${settings.token}` } : {};
    const answer = fetch(url.href, {
      method,
      headers: { ...request.headers, ...authorization },
      ...(body !== undefined && { body }),
      redirect: 'manual',
      signal,
    });
    const response = await Promise.race([answer, rejectedBy(signal)]).catch((error: unknown) => {
      throw networkError(url, error);
    });
    const location = response.headers.get('location');
    const isRedirect = REDIRECTS.has(response.status) && (method === 'GET' || response.status >= 307);
    if (!isRedirect || location === null) return response;
    await discard(response);
    url = addressFrom(url, location);
  }
  throw new RunError(`${home.origin} redirects without end`);
}

/** The address that an answer names: http or https, not from https to http, and without credentials. */
function addressFrom(url: URL, location: string): URL {
  const next = URL.canParse(location, url.href) ? new URL(location, url) : null;
  const downgrade = url.protocol === 'https:' && next?.protocol !== 'https:';
  if (next === null || downgrade || !/^https?:$/.test(next.protocol) || next.username || next.password) {
    throw new RunError(`${url.origin} names an address that is not safe to follow`);
  }
  return next;
}

/** Node's fetch() does not always pass on an abort amid a body (1 of 1,000 downloads of test/fuzz/hub.mjs hung), so this listens too. */
export async function* bodyOf(response: Response, signal: AbortSignal): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  const reader = response.body.getReader();
  const cancel = (): void => void reader.cancel(signal.reason).catch(() => undefined); // ends a read that waits
  signal.addEventListener('abort', cancel);
  try {
    for (;;) {
      const { done, value } = await reader.read();
      signal.throwIfAborted();
      if (done) return;
      yield value;
    }
  } catch (error) {
    throw networkError(new URL(response.url), error);
  } finally {
    signal.removeEventListener('abort', cancel);
    await reader.cancel().catch(() => undefined);
  }
}

function rejectedBy(signal: AbortSignal): Promise<never> {
  return new Promise((_, reject) => {
    if (signal.aborted) reject(abortReason(signal));
    signal.addEventListener('abort', () => reject(abortReason(signal)), { once: true });
  });
}

function abortReason(signal: AbortSignal): Error {
  return signal.reason instanceof Error ? signal.reason : new Error(String(signal.reason));
}

/** Lets the rest of an answer go; that its connection may break meanwhile does not matter. */
export async function discard(response: Response): Promise<void> {
  await response.body?.cancel().catch(() => undefined);
}

/** Turns what fetch() or the body of a response throws into a HubUnavailable that names the host and the cause. */
function networkError(url: URL, error: unknown): HubUnavailable {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  // HPE_: what came is not HTTP, which may be the rest of an earlier answer that was longer than announced.
  const connected = /ECONNRESET|EPIPE|^HPE_|UND_ERR_(SOCKET|BODY_TIMEOUT|HEADERS_TIMEOUT)/.test(code);
  const reason = printable(messageOf(cause) || code);
  return new HubUnavailable(`Cannot reach ${url.origin} (${reason})`, connected);
}

/** The error for an answer that is no success, as far as it is the same for all requests. */
export function commonRefusal(response: Response, settings: HubSettings, repo: Repo): RunError | null {
  const { status } = response;
  const what = titleOf(repo);
  if (PASSING.has(status)) {
    const retryAfter = secondsOf(response.headers.get('retry-after'));
    const wait = retryAfter === null ? '' : `, and asks to wait ${retryAfter} s`;
    return new HubUnavailable(`${settings.endpoint} answered ${status} for ${what}${wait}`, true, retryAfter);
  }
  const origin = new URL(response.url).origin;
  if (origin === new URL(settings.endpoint).origin) return null;
  return new UnexpectedStatus(`${origin} answered ${status} for ${what}`, status);
}

/** That of a question; the hub puts the reason in X-Error-Code. */
function refusal(response: Response, settings: HubSettings, repo: Repo): Error {
  const common = commonRefusal(response, settings, repo);
  if (common !== null) return common;
  const { status } = response;
  const code = response.headers.get('x-error-code');
  const what = titleOf(repo);
  if (code === 'GatedRepo' || (status === 403 && code === null)) {
    const page = `${settings.endpoint}/${repo.type === 'dataset' ? 'datasets/' : ''}${repo.id}`;
    const token = settings.token === null ? 'set HF_TOKEN to a token' : 'set HF_TOKEN to another token, one';
    return new UsageError(
      `Access to ${what} must be granted first: ask for it at ${page} and ${token} of that account`,
    );
  }
  if (code === 'RevisionNotFound') {
    return new NotFound(
      `The hub has ${titleOf({ ...repo, revision: 'main' })} but no revision "${repo.revision}" of it`,
      'revision',
    );
  }
  if (status === 404 || (status === 401 && (settings.token === null || code === 'RepoNotFound'))) {
    const remedy = settings.token === null ? 'set HF_TOKEN' : 'set HF_TOKEN to a token that may read it';
    return new NotFound(
      `The hub has no ${what}: check the spelling, or, if it is private or gated, ${remedy}`,
      'repository',
    );
  }
  if (status === 401) return new UsageError(refusedToken(what));
  return new UnexpectedStatus(`${settings.endpoint} answered ${status} for ${what}`, status);
}

/** @param what for what */
export function refusedToken(what: string): string {
  return `The hub refused the token (HF_TOKEN or the token file) for ${what}`;
}

function secondsOf(retryAfter: string | null): number | null {
  if (retryAfter === null) return null;
  const seconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter)
    : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}

const ATTEMPTS = 5;
/** Seconds that one request may be waited for in all, whatever Retry-After says. */
const LONGEST_WAIT_S = 120;

/** The hub could not be reached, or answered that it is busy; the same request may succeed later. */
export class HubUnavailable extends RunError {
  /** Whether enough bytes came before it failed that a next attempt starts well further on. */
  progressed = false;

  constructor(
    message: string,
    /** False when no connection came about: then trying again at once rarely helps. */
    readonly connected: boolean,
    /** Seconds the hub asked to wait. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

/**
 * Repeats `task` while it throws HubUnavailable: at once when it made progress, and else after 1, 2, 4, 8 seconds or as
 * long as the hub asks. Progress resets the count.
 */
export async function withRetries<T>(
  task: () => Promise<T>,
  worthwhile: (error: HubUnavailable) => boolean = () => true,
): Promise<T> {
  let failures = 0;
  let waited = 0;
  for (;;) {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof HubUnavailable) || !worthwhile(error)) throw error;
      if (error.progressed) [failures, waited] = [0, 0];
      else failures++;
      const wait = error.retryAfter ?? (failures === 0 ? 0 : 2 ** (failures - 1));
      waited += wait;
      if (failures >= ATTEMPTS || waited > LONGEST_WAIT_S) throw error;
      await sleep(wait * 1000);
    }
  }
}
