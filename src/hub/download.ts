// One file from the hub to one path: resumed where an earlier attempt stopped, and checked before it gets its name.
import { createHash } from 'node:crypto';
import { constants, createReadStream } from 'node:fs';
import { type FileHandle, lstat, open, rename, rm, stat, statfs } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { errorCode, RunError } from '../util/errors.js';
import { type Answer, type Get, HubUnavailable, UnexpectedStatus, withRetries } from './http.js';
import type { RepoFile } from './repo.js';

/** Bytes a second, over the time of a stall, below which a connection counts as dead. */
const SLOWEST = 1024;
/** Bytes after which a connection that broke is no failure: the next one resumes there. */
const PROGRESS = 16 << 10;

/** What to fetch. */
export interface Download {
  readonly url: string;
  /** How messages name it: `org/name/file`. */
  readonly name: string;
  readonly file: RepoFile;
  readonly onProgress: (done: number) => void;
  readonly stallSeconds: number;
}

/** What came is not what the hub lists, so none of it may stay. */
export class WrongContent extends RunError {}

/**
 * Downloads to `<destination>.incomplete`, continuing what lies there, checks size and hash (sha256 for LFS files,
 * git's sha1 for others), syncs and renames.
 *
 * Bytes are written at their own position and never appended, so two processes that fetch the same file write the
 * same bytes to the same places and need no lock.
 *
 * @param destination its folder is there
 * @throws HubUnavailable when the connection keeps failing (the partial file stays for the next run),
 *   RunError when there is no room for it, or size or hash are not what the hub lists (nothing stays)
 */
export async function downloadFile(get: Get, download: Download, destination: string): Promise<void> {
  const partial = `${destination}.incomplete`;
  const leftover = await leftoverSize(partial);
  await checkRoom(dirname(destination), download, leftover);
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
  const handle = await open(partial, constants.O_RDWR | constants.O_CREAT | constants.O_NOFOLLOW, 0o644);
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
    if (error instanceof HubUnavailable) error.progressed = end - start >= PROGRESS;
    throw error;
  } finally {
    await handle.close();
  }
}

/** The body of the file from `start` on, or from 0 when the server does not do ranges. */
async function* chunks(
  get: Get,
  { url, name, file, stallSeconds }: Download,
  start: number,
): AsyncGenerator<{ position: number; bytes: Uint8Array }> {
  const watch = watchFlow(stallSeconds);
  try {
    const range: Record<string, string> = start > 0 ? { range: `bytes=${start}-` } : {};
    const answer = await get(url, { 'accept-encoding': 'identity', ...range }, watch.signal).catch(
      (error: unknown) => {
        const isShorter = error instanceof UnexpectedStatus && error.status === 416;
        throw isShorter ? otherPart(name, start) : error;
      },
    );
    let position = answer.status === 206 ? start : 0;
    checkRange(answer, name, position);
    const total = lengthOf(answer);
    if (total !== null && total !== file.size) throw wrongLength(name, file.size, total);
    for await (const bytes of answer.body) {
      watch.count(bytes.length);
      if (position + bytes.length > file.size) throw wrongLength(name, file.size, position + bytes.length);
      yield { position, bytes };
      position += bytes.length;
    }
  } finally {
    watch.stop();
  }
}

/** A signal that aborts when next to nothing came for a while: neither silence nor a trickle may hold a run for ever. */
function watchFlow(seconds: number): { signal: AbortSignal; count(bytes: number): void; stop(): void } {
  const abort = new AbortController();
  let came = 0;
  const timer = setInterval(() => {
    if (came === 0) abort.abort(new Error(`no data for ${seconds} s`));
    else if (came < SLOWEST * seconds) abort.abort(new Error(`only ${came} bytes in ${seconds} s`));
    came = 0;
  }, seconds * 1000);
  return { signal: abort.signal, count: (bytes) => void (came += bytes), stop: () => clearInterval(timer) };
}

/** A part that begins elsewhere would be written to the wrong place. */
function checkRange({ status, headers }: Answer, name: string, start: number): void {
  const range = headers.get('content-range');
  if (status !== 206 || range?.startsWith(`bytes ${start}-`)) return;
  throw otherPart(name, start);
}

function otherPart(name: string, start: number): WrongContent {
  return new WrongContent(
    `The hub was asked for ${name} from byte ${start} on but has or sent another part of it`,
  );
}

/** Length of the whole file by the response's headers; null where they do not have it (chunked, compressed). */
function lengthOf({ status, headers }: Answer): number | null {
  if (headers.has('content-encoding')) return null;
  const length =
    status === 206 ? /\/(\d+)$/.exec(headers.get('content-range') ?? '')?.[1] : headers.get('content-length');
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

/**
 * The size of what an earlier attempt left; null when there is nothing. What is no plain file of its own (a link, also
 * a hard one, would lead what is written out of the cache) is removed.
 */
async function leftoverSize(partial: string): Promise<number | null> {
  const entry = await lstat(partial).catch(() => null);
  if (entry === null) return null;
  if (entry.isFile() && entry.nlink === 1) return entry.size;
  await rm(partial);
  return null;
}

/** Asked before the first byte: a full disk stops more than this run, and the hub may list any size. */
async function checkRoom(folder: string, { name, file }: Download, leftover: number | null): Promise<void> {
  const { bavail, bsize } = await statfs(folder);
  const free = bavail * bsize;
  const needed = file.size - (leftover ?? 0);
  if (needed <= free) return;
  throw new RunError(
    `${name} needs ${needed} bytes, but only ${free} are free in ${folder}: make room, or set HF_HOME to another folder`,
  );
}

async function sizeOf(path: string): Promise<number | null> {
  return stat(path).then(
    (found) => found.size,
    () => null,
  );
}
