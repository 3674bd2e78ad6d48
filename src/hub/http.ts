// One GET to the hub: the token, redirects, retries, and a sentence for each way the hub can refuse.
import { setTimeout as sleep } from 'node:timers/promises';
import { messageOf, RunError, UsageError } from '../errors.js';
import { titleOf, type Repo } from './repo.js';
import type { HubSettings } from './settings.js';

const ATTEMPTS = 5;
const LONGEST_WAIT_S = 120;
const REDIRECTS = new Set([301, 302, 303, 307, 308]);
const PASSING = new Set([408, 429, 500, 502, 503, 504]);

/** The hub could not be reached, or said that it cannot answer now; the same request may succeed later. */
export class HubUnavailable extends RunError {
  /** Whether any bytes came before it failed, so that a next attempt starts further on. */
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

/** Sends one GET and resolves to a 200 or 206; any other answer is thrown. */
export type Get = (url: string, headers?: Record<string, string>, signal?: AbortSignal) => Promise<Response>;

/**
 * A GET for one repository. Redirects are followed by hand, because the hub sends large files to another host and
 * old names (`imdb`) to new ones: the token goes to the endpoint's own origin only.
 *
 * @throws HubUnavailable (network, 5xx, 429), UsageError (401, 403, 404) or RunError (anything else)
 */
export function createGet(settings: HubSettings, repo: Repo): Get {
  return async (url, headers = {}, signal) => {
    const response = await follow(settings, url, headers, signal);
    if (response.ok) return response;
    const error = refusal(response, settings, repo);
    await response.body?.cancel();
    throw error;
  };
}

/**
 * Repeats `task` while it throws HubUnavailable, with 1, 2, 4, 8 seconds between or as long as the hub asks.
 * The count starts anew whenever an attempt made progress.
 */
export async function withRetries<T>(
  task: () => Promise<T>,
  worthwhile: (error: HubUnavailable) => boolean = () => true,
): Promise<T> {
  let failures = 0;
  for (;;) {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof HubUnavailable) || !worthwhile(error)) throw error;
      failures = error.progressed ? 1 : failures + 1;
      const wait = error.retryAfter ?? 2 ** (failures - 1);
      if (failures >= ATTEMPTS || wait > LONGEST_WAIT_S) throw error;
      await sleep(wait * 1000);
    }
  }
}

async function follow(
  settings: HubSettings,
  start: string,
  headers: Record<string, string>,
  signal: AbortSignal | undefined,
): Promise<Response> {
  const home = new URL(settings.endpoint).origin;
  let url = new URL(start);
  for (let hops = 0; hops < 10; hops++) {
    const authorization =
      settings.token !== null && url.origin === home ? { authorization: `Bearer ${settings.token}` } : {};
    const response = await fetch(url.href, {
      headers: { ...headers, ...authorization },
      redirect: 'manual',
      ...(signal && { signal }),
    }).catch((error: unknown) => {
      throw networkError(url, error);
    });
    const location = response.headers.get('location');
    if (!REDIRECTS.has(response.status) || location === null) return response;
    await response.body?.cancel();
    const next = URL.canParse(location, url.href) ? new URL(location, url) : null;
    const downgrade = url.protocol === 'https:' && next?.protocol !== 'https:';
    if (next === null || downgrade || !/^https?:$/.test(next.protocol)) {
      throw new RunError(`${url.origin} redirects to an address that is not safe to follow`);
    }
    url = next;
  }
  throw new RunError(`${home} redirects without end`);
}

/** Turns what fetch() or the body of a response throws into a HubUnavailable that names the host and the cause. */
export function networkError(url: URL, error: unknown): HubUnavailable {
  const cause = error instanceof Error && error.cause !== undefined ? error.cause : error;
  const code = cause instanceof Error && 'code' in cause ? String(cause.code) : '';
  const connected = /ECONNRESET|EPIPE|UND_ERR_(SOCKET|BODY_TIMEOUT|HEADERS_TIMEOUT)/.test(code);
  return new HubUnavailable(`Cannot reach ${url.origin} (${messageOf(cause) || code})`, connected);
}

/** The error for an answer that is no success; the hub puts the reason in X-Error-Code. */
function refusal(response: Response, settings: HubSettings, repo: Repo): Error {
  const { status } = response;
  const code = response.headers.get('x-error-code');
  const what = titleOf(repo);
  if (PASSING.has(status)) {
    const retryAfter = secondsOf(response.headers.get('retry-after'));
    const wait = retryAfter === null ? '' : `, and asks to wait ${retryAfter} s`;
    return new HubUnavailable(`${settings.endpoint} answered ${status} for ${what}${wait}`, true, retryAfter);
  }
  const origin = new URL(response.url).origin;
  if (origin !== new URL(settings.endpoint).origin)
    return new RunError(`${origin} answered ${status} for ${what}`);
  if (code === 'GatedRepo' || (status === 403 && code === null)) {
    const page = `${settings.endpoint}/${repo.type === 'dataset' ? 'datasets/' : ''}${repo.id}`;
    const token = settings.token === null ? 'set HF_TOKEN to a token' : 'set HF_TOKEN to another token, one';
    return new UsageError(
      `Access to ${what} must be granted first: ask for it at ${page} and ${token} of that account`,
    );
  }
  if (code === 'RevisionNotFound') {
    return new UsageError(
      `The hub has ${titleOf({ ...repo, revision: 'main' })} but no revision "${repo.revision}" of it`,
    );
  }
  if (status === 404 || (status === 401 && (settings.token === null || code === 'RepoNotFound'))) {
    const remedy = settings.token === null ? 'set HF_TOKEN' : 'set HF_TOKEN to a token that may read it';
    return new UsageError(
      `The hub has no ${what}: check the spelling, or, if it is private or gated, ${remedy}`,
    );
  }
  if (status === 401)
    return new UsageError(`The hub refused the token (HF_TOKEN or the token file) for ${what}`);
  return new RunError(`${settings.endpoint} answered ${status} for ${what}`);
}

function secondsOf(retryAfter: string | null): number | null {
  if (retryAfter === null) return null;
  const seconds = /^\d+$/.test(retryAfter)
    ? Number(retryAfter)
    : (Date.parse(retryAfter) - Date.now()) / 1000;
  return Number.isFinite(seconds) ? Math.max(0, Math.ceil(seconds)) : null;
}
