// The parts of a LibTorch zip archive that a build needs, each checked against the archive's CRC-32.
import { messageOf } from '../setup/errors.mjs';
import { createWriteStream } from 'node:fs';
import { mkdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { pipeline } from 'node:stream/promises';
import { crc32 } from 'node:zlib';
import yauzl from 'yauzl';
import { megabytes, progressLine } from '../setup/terminal.mjs';
import { Unavailable } from './inspect.mjs';

/**
 * @param {string} file
 * @param {string} folder receives the entries that `keep` accepts; yauzl refuses names that lead out of it
 * @param {(name: string) => boolean} keep
 * @throws {Unavailable} when the archive is damaged
 */
export async function unzip(file, folder, keep) {
  const bar = progressLine('Unpacking LibTorch  ');
  try {
    const zip = await yauzl.openPromise(file);
    let done = 0;
    for await (const entry of zip.eachEntry()) {
      done += entry.compressedSize;
      if (entry.fileName.endsWith('/') || !keep(entry.fileName)) continue;
      bar.update(done, zip.fileSize, megabytes(done));
      await extract(zip, entry, join(folder, entry.fileName));
    }
    bar.end();
  } catch (error) {
    if (error instanceof Unavailable) throw error;
    throw new Unavailable(`${file} cannot be unpacked: ${messageOf(error)}`);
  }
}

/**
 * @param {yauzl.ZipFile} zip
 * @param {yauzl.Entry} entry
 * @param {string} target
 */
async function extract(zip, entry, target) {
  await mkdir(dirname(target), { recursive: true });
  let sum = 0;
  await pipeline(
    await zip.openReadStreamPromise(entry),
    async function* checksum(source) {
      for await (const chunk of source) {
        sum = crc32(chunk, sum);
        yield chunk;
      }
    },
    createWriteStream(target),
  );
  if (sum !== entry.crc32) throw new Unavailable(`${entry.fileName} in the archive is damaged (CRC-32)`);
}
