// One file from the hub to one path: resumed where an earlier attempt stopped, and checked before it gets its name.
import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { open, rename, rm, stat, type FileHandle } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errorCode, RunError } from '../errors.js';
import { makeFolder } from '../make-folder.js';
import { HubUnavailable, networkError, withRetries, type Get } from './http.js';
import type { RepoFile } from './repo.js';

const STALL_MS = 30_000;

/** What to fetch. */
export interface Download {
  readonly url: string;
  /** How messages name it: `org/name/file`. */
  readonly name: string;
  readonly file: RepoFile;
  readonly onProgress: (done: number) => void;
}

/** What came is not what the hub lists, so none of it may stay. */
class WrongContent extends RunError {}

/**
 * Downloads to `<destination>.incomplete`, continuing what lies there, checks size and hash (sha256 for LFS files,
 * git's sha1 for others), syncs and renames.
 *
 * Bytes are written at their own position and never appended, so two processes that fetch the same file write the
 * same bytes to the same places and need no lock.
 *
 * @throws HubUnavailable when the connection keeps failing (the partial file stays for the next run),
 *   RunError when size or hash are not what the hub lists (nothing stays)
 */
export async function downloadFile(get: Get, download: Download, destination: string): Promise<void> {
  const partial = `${destination}.incomplete`;
  await makeFolder(dirname(destination));
  const leftover = await sizeOf(partial);
  try {
    await withRetries(() => fill(get, download, partial));
    await checkHash(partial, download);
    await rename(partial, destination);
  } catch (error) {
    if (errorCode(error) === 'ENOENT' && (await sizeOf(destination)) === download.file.size) return; // another process finished it first
    if (!(error instanceof WrongContent)) throw error;
    await rm(partial, { force: true });
    if (!leftover) throw error;
    return downloadFile(get, download, destination); // the leftover may be to blame: once more from the start
  }
}

/** One attempt to bring the partial file to its full size. */
async function fill(get: Get, download: Download, partial: string): Promise<void> {
  const { size } = download.file;
  const handle = await open(partial, constants.O_RDWR | constants.O_CREAT, 0o644);
  const start = (await handle.stat()).size;
  let end = start;
  try {
    if (start > size) throw new WrongContent(`${partial} is longer than ${download.name}`);
    for await (const { position, bytes } of start < size ? chunks(get, download, start) : []) {
      await writeAt(handle, bytes, position);
      end = position + bytes.length;
      download.onProgress(end);
    }
    if (end < size)
      throw new HubUnavailable(`The connection broke off while ${download.name} was downloading`, true);
    await handle.sync();
  } catch (error) {
    if (error instanceof HubUnavailable) error.progressed = end > start;
    throw error;
  } finally {
    await handle.close();
  }
}

/** The body of the file from `start` on, or from 0 when the server does not do ranges. */
async function* chunks(
  get: Get,
  { url, name, file }: Download,
  start: number,
): AsyncGenerator<{ position: number; bytes: Uint8Array }> {
  const stall = new AbortController();
  const timer = setTimeout(() => stall.abort(new Error(`no data for ${STALL_MS / 1000} s`)), STALL_MS);
  try {
    const range: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
    const response = await get(url, { 'accept-encoding': 'identity', ...range }, stall.signal);
    let position = response.status === 206 ? start : 0;
    const total = lengthOf(response);
    if (total !== null && total !== file.size) throw wrongLength(name, file.size, total);
    for await (const bytes of bodyOf(response)) {
      timer.refresh();
      if (position + bytes.length > file.size) throw wrongLength(name, file.size, position + bytes.length);
      yield { position, bytes };
      position += bytes.length;
    }
  } finally {
    clearTimeout(timer);
  }
}

async function* bodyOf(response: Response): AsyncGenerator<Uint8Array> {
  if (response.body === null) return;
  try {
    yield* response.body as AsyncIterable<Uint8Array>;
  } catch (error) {
    throw networkError(new URL(response.url), error);
  }
}

/** Length of the whole file by the response's headers; null where it does not say (chunked, compressed). */
function lengthOf(response: Response): number | null {
  if (response.headers.has('content-encoding')) return null;
  const length =
    response.status === 206
      ? /\/(\d+)$/.exec(response.headers.get('content-range') ?? '')?.[1]
      : response.headers.get('content-length');
  return length ? Number(length) : null;
}

function wrongLength(name: string, listed: number, received: number): WrongContent {
  return new WrongContent(
    `The hub lists ${name} with ${listed} bytes but sent ${received}, so it was deleted: try again later, ` +
      'and check HF_ENDPOINT if it names a mirror',
  );
}

/** Reads the file back from the disk, so that what is checked is what will be used. */
async function checkHash(path: string, { name, file }: Download): Promise<void> {
  const hash = file.sha256 === null ? createHash('sha1').update(`blob ${file.size}\0`) : createHash('sha256');
  await pipeline(createReadStream(path, { highWaterMark: 1 << 20 }), hash);
  if (hash.digest('hex') === (file.sha256 ?? file.blobId)) return;
  throw new WrongContent(
    `${name} arrived with another content than the hub lists (its hash differs), so it was deleted: try again, ` +
      'and check HF_ENDPOINT if it names a mirror',
  );
}

async function writeAt(handle: FileHandle, bytes: Uint8Array, position: number): Promise<void> {
  for (let done = 0; done < bytes.length;) {
    done += (await handle.write(bytes, done, bytes.length - done, position + done)).bytesWritten;
  }
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    (found) => found.size,
    () => null,
  );
}
