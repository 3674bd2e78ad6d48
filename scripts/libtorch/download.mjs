// One large file over HTTP: streamed to disk, resumed after a break, checked for size and SHA-256.
import { messageOf } from '../setup/errors.mjs';
import { createHash } from 'node:crypto';
import { createReadStream, createWriteStream } from 'node:fs';
import { mkdir, rename, rm, stat } from 'node:fs/promises';
import { dirname } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { megabytes, progressLine } from '../setup/terminal.mjs';
import { Unavailable } from './install.mjs';

/** Without progress, see MIN_RATE. */
const ATTEMPTS = 5;
/** Bytes a second, over the time of a stall, below which a connection counts as stalled; as for the hub. */
const MIN_RATE = 1024;

/**
 * @typedef {{ url: string, file: string, size: number, sha256: string }} Wanted size in bytes, sha256 in hex
 * @typedef {{ waitMs?: number, stallMs?: number }} Patience
 *   waitMs: the first pause after a break, doubled with every further one; stallMs: how long a connection may stall
 */

/**
 * Downloads to `file`. An interrupted download stays in `file.part`, and the next call resumes it.
 *
 * @param {Wanted} wanted
 * @param {Patience} [patience]
 * @throws {Unavailable} when the host cannot be reached or what it sends is not the file
 */
export async function download(wanted, { waitMs = 1000, stallMs = 60_000 } = {}) {
  const part = `${wanted.file}.part`;
  const bar = progressLine('Downloading LibTorch');
  let failures = 0;
  for (let have = await sizeOf(part); have < wanted.size;) {
    let problem;
    try {
      await fetchRest(wanted, part, have, bar, stallMs);
    } catch (error) {
      if (error instanceof Unavailable) throw error;
      problem = messageOf(error);
    }
    const now = await sizeOf(part);
    if (now < wanted.size) {
      problem ??= 'the connection was closed early';
      failures = now - have >= minBytes(stallMs) ? 1 : failures + 1;
      if (failures === ATTEMPTS) throw interrupted(problem, now, wanted);
      await sleep(waitMs * 2 ** (failures - 1));
    }
    have = now;
  }
  bar.end();
  await check(wanted, part);
  await rename(part, wanted.file);
}

/**
 * One request for the bytes from `have` on.
 *
 * @param {Wanted} wanted
 * @param {string} part
 * @param {number} have
 * @param {ReturnType<typeof progressLine>} bar
 * @param {number} stallMs
 */
async function fetchRest(wanted, part, have, bar, stallMs) {
  const abort = new AbortController();
  let done = have;
  // A host that sends nothing at all is reported at once; a download under way is retried.
  const failure = (/** @type {string} */ problem) =>
    done > 0 ? new Error(problem) : interrupted(problem, 0, wanted);
  let received = 0;
  const timer = setInterval(() => {
    const seconds = `${stallMs / 1000} s`;
    if (received === 0) abort.abort(failure(`no data for ${seconds}`));
    else if (received < minBytes(stallMs)) abort.abort(failure(`only ${received} bytes in ${seconds}`));
    received = 0;
  }, stallMs);
  try {
    const headers = { 'accept-encoding': 'identity', ...(have > 0 && { range: `bytes=${have}-` }) };
    const response = await fetch(wanted.url, { headers, signal: abort.signal }).catch((error) => {
      throw error instanceof Unavailable ? error : failure(messageOf(error));
    });
    if (response.status >= 500) throw new Error(`HTTP ${response.status}`);
    if (!response.ok || !response.body) throw new Unavailable(`HTTP ${response.status} for ${wanted.url}`);
    // A server that ignores the range sends the whole file, so writing restarts.
    const start = response.status === 206 ? have : 0;
    checkOffer(wanted, response, start);
    done = start;
    await mkdir(dirname(part), { recursive: true });
    await pipeline(
      response.body,
      async function* count(source) {
        for await (const chunk of source) {
          received += chunk.length;
          done += chunk.length;
          if (done > wanted.size) throw await overlong(wanted, part);
          bar.update(done, wanted.size, `${megabytes(done)} of ${megabytes(wanted.size)}`);
          yield chunk;
        }
      },
      createWriteStream(part, { flags: start > 0 ? 'a' : 'w' }),
    );
  } finally {
    clearInterval(timer);
  }
}

/** @param {number} stallMs the time of a stall */
function minBytes(stallMs) {
  return (MIN_RATE * stallMs) / 1000;
}

/**
 * Refuses a wrong file before its bytes are fetched.
 *
 * @param {Wanted} wanted
 * @param {Response} response
 * @param {number} start
 */
function checkOffer(wanted, response, start) {
  const length = response.headers.get('content-length');
  if (length === null) return;
  const total = start + Number(length);
  if (total !== wanted.size) {
    throw new Unavailable(`${wanted.url} has ${total} bytes instead of the ${wanted.size} published`);
  }
}

/**
 * @param {Wanted} wanted
 * @param {string} part removed when it is not what was wanted, so that the next call starts over
 */
async function check({ size, sha256, url }, part) {
  const actualSize = await sizeOf(part);
  const hash = createHash('sha256');
  await pipeline(createReadStream(part), hash);
  const actual = hash.digest('hex');
  if (actualSize === size && actual === sha256) return;
  await rm(part);
  throw new Unavailable(
    actualSize === size
      ? `${url} has SHA-256 ${actual.slice(0, 12)}... instead of ${sha256.slice(0, 12)}...; it was removed`
      : `${url} has ${actualSize} bytes instead of ${size}; it was removed`,
  );
}

/**
 * @param {Wanted} wanted
 * @param {string} part removed, since none of it can be trusted
 */
async function overlong({ url, size }, part) {
  await rm(part, { force: true });
  return new Unavailable(`${url} sent more than the ${size} bytes published; it was removed`);
}

/**
 * @param {string} problem
 * @param {number} have
 * @param {Wanted} wanted
 */
function interrupted(problem, have, { url, size }) {
  const progress =
    have > 0 ? ` after ${megabytes(have)} of ${megabytes(size)}; the next try resumes there` : '';
  return new Unavailable(`${url}: ${problem}${progress}`);
}

/** @param {string} file */
async function sizeOf(file) {
  const found = await stat(file).catch(() => null);
  return found?.size ?? 0;
}
