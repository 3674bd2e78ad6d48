// The requests of an upload: @huggingface/hub makes them, and this sends them. So the token stays here, the same limits of time and
// size hold as for downloads, what passes is tried again, and every refusal is a sentence.
import { z } from 'zod';
import { RunError, UsageError } from '../util/errors.js';
import { LONGEST_ANSWER } from './api.js';
import { bodyOf, commonRefusal, discard, follow, refusedToken } from './http.js';
import { UnexpectedStatus, withRetries, type HubRequest } from './http.js';
import { printable, titleOf, type Repo } from './repo.js';
import type { HubSettings } from './settings.js';

/** Stands where the library wants a token: such requests get the real one, others, which go to the storage, none. */
export const ANY_TOKEN = 'hf_token-is-added-when-sent';

/** What is done around the requests. */
export interface UploadWatch {
  /** Bytes of a file that was opened as `blob` were handed to the network; 0 where it starts again. */
  onBytes: (blob: Blob, bytes: number) => void;
  /** Called before the commit is sent. */
  beforeCommit: () => Promise<void>;
}

/** A `fetch` whose answers are all successes, read as a whole; everything else is thrown. */
export function createUploadFetch(
  settings: HubSettings,
  repo: Repo,
  watch: UploadWatch = { onBytes: () => undefined, beforeCommit: async () => undefined },
): typeof fetch {
  const verifications = new Map<string, Verification>();
  return async (input, init = {}) => {
    const url = input instanceof Request ? input.url : String(input);
    const { authorization, ...headers } = Object.fromEntries(new Headers(init.headers));
    const { body } = init;
    if (body !== undefined && body !== null && typeof body !== 'string' && !(body instanceof Blob))
      throw new TypeError(`An upload cannot send a ${typeof body} again`);
    const request = {
      method: init.method ?? 'GET',
      headers,
      body: body ?? undefined,
      withToken: authorization !== undefined,
    };
    if (url.startsWith(`${settings.endpoint}/api/models/${repo.id}/commit/`)) await watch.beforeCommit();
    const send = (to: string, what: Omit<HubRequest, 'signal'>): Promise<Response> =>
      withRetries(() => sendOnce({ settings, repo, watch }, to, what, init.signal ?? null));
    const response = await send(url, request);
    if (url.endsWith('/info/lfs/objects/batch')) {
      const answer = batchAnswer.safeParse(await response.clone().json());
      for (const { oid, size, actions } of answer.data?.objects ?? [])
        if (actions?.verify) verifications.set(actions.upload.href, { href: actions.verify.href, oid, size });
    }
    const verification = verifications.get(url);
    if (verification !== undefined) {
      const { href, ...object } = verification;
      const lfs = { accept: LFS, 'content-type': LFS };
      await send(href, { method: 'POST', headers: lfs, body: JSON.stringify(object), withToken: true });
    }
    return response;
  };
}

/** What git-lfs's specification has a client ask after an upload; @huggingface/hub does not. */
interface Verification {
  href: string;
  oid: string;
  size: number;
}

const LFS = 'application/vnd.git-lfs+json';
const link = z.object({ href: z.string() });
const batchAnswer = z.object({
  objects: z.array(
    z.object({
      oid: z.string(),
      size: z.number(),
      actions: z.object({ upload: link, verify: link.optional() }).optional(),
    }),
  ),
});

interface Around {
  settings: HubSettings;
  repo: Repo;
  watch: UploadWatch;
}

async function sendOnce(
  { settings, repo, watch }: Around,
  url: string,
  request: Omit<HubRequest, 'signal'>,
  outer: AbortSignal | null,
): Promise<Response> {
  outer?.throwIfAborted();
  const abort = new AbortController();
  const signal = outer === null ? abort.signal : AbortSignal.any([abort.signal, outer]);
  // Behind the last byte too: what was handed over may wait in buffers, and a commit takes its time.
  const seconds = 5 * Math.max(settings.answerSeconds, settings.stallSeconds);
  const late = (): void => abort.abort(new Error(`nothing moved for ${seconds} s`));
  const timer = setTimeout(late, seconds * 1000);
  let fault: unknown;
  const body =
    request.body instanceof Blob
      ? watched(request.body, {
          onBytes: (blob, bytes) => {
            timer.refresh();
            watch.onBytes(blob, bytes);
          },
          onFault: (error) => (fault = error),
        })
      : request.body;
  try {
    const response = await follow(settings, url, { ...request, body, signal });
    const refused = response.ok ? null : commonRefusal(response, settings, repo);
    if (refused !== null) {
      await discard(response);
      throw refused;
    }
    const content = await contentOf(response, signal);
    if (!response.ok) throw refusal(response.status, content, settings, repo);
    return new Response(content === '' ? null : content, { headers: response.headers });
  } catch (error) {
    outer?.throwIfAborted();
    throw fault ?? error; // what the disk says is the reason, not that the connection ended
  } finally {
    clearTimeout(timer);
  }
}

async function contentOf(response: Response, signal: AbortSignal): Promise<string> {
  const parts: Uint8Array[] = [];
  let length = 0;
  for await (const part of bodyOf(response, signal)) {
    length += part.length;
    if (length > LONGEST_ANSWER) throw new RunError(`${new URL(response.url).origin} answers without end`);
    parts.push(part);
  }
  return Buffer.concat(parts).toString('utf8');
}

/** The error for an answer of the hub itself that is neither a success nor passes. */
function refusal(status: number, content: string, settings: HubSettings, repo: Repo): Error {
  const what = titleOf(repo);
  const reason = reasonIn(content);
  if (status === 401) return new UsageError(refusedToken(what));
  if (status === 403)
    return new UsageError(
      `The token (HF_TOKEN or the token file) may not write to ${what}${reason}; make one that may at ${settings.endpoint}/settings/tokens`,
    );
  return new UnexpectedStatus(`${settings.endpoint} answered ${status} for ${what}${reason}`, status);
}

/** What the hub says of it, in brackets. */
function reasonIn(content: string): string {
  try {
    const answer: unknown = JSON.parse(content);
    if (typeof answer === 'object' && answer !== null && 'error' in answer)
      return ` (${printable(String(answer.error), 500).replaceAll(/\s+/g, ' ')})`;
  } catch {
    // no JSON, no reason
  }
  return '';
}

/** The same content, with a look at what is read of it. */
function watched(
  blob: Blob,
  { onBytes, onFault }: { onBytes: UploadWatch['onBytes']; onFault: (error: unknown) => void },
): Blob {
  return new (class extends Blob {
    override readonly size = blob.size;
    override stream(): ReturnType<Blob['stream']> {
      return ReadableStream.from(pieces());
    }
  })([]);

  async function* pieces(): AsyncGenerator<Uint8Array<ArrayBuffer>> {
    onBytes(blob, 0);
    try {
      for await (const piece of blob.stream()) {
        yield piece;
        onBytes(blob, piece.length);
      }
    } catch (error) {
      onFault(error);
      throw error;
    }
  }
}
