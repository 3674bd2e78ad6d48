// CSV under zstd. Node 20 cannot compress to it, so the frames are put together here: raw and run-length blocks, and the
// compressed ones of a fixture.
import { readFileSync } from 'node:fs';
import { ROWS, mutateCompressed } from '../compressed.mjs';
import { defineFormat, utf8 } from '../format.mjs';
import { checkRows, readRows } from '../rows.mjs';

const FIXTURE = new URL('../../../test/fixtures/data/two-frames.csv.zst', import.meta.url);
const MOST_BLOCK = 2 ** 17;
const MAGIC = Buffer.of(0x28, 0xb5, 0x2f, 0xfd);
/** 128 KiB, as the byte of a frame's header has it. */
const WINDOW = 0x38;

export const zstd = defineFormat({
  name: 'zstd',
  seeds: async () => [
    { 'rows.csv.zst': withSmallWindows(readFileSync(FIXTURE)) },
    { 'rows.csv.zst': frame(utf8(ROWS)) },
  ],
  mutate: (files, random) => ({
    'rows.csv.zst': mutateCompressed(files['rows.csv.zst'] ?? new Uint8Array(), random, frame),
  }),
  read: (folder) => readRows(folder, 'rows.csv.zst'),
  check: checkRows,
});

/**
 * The frames with windows of 128 KiB, which is enough for what they hold: each of 2 MiB, as the zstd tool asks for, takes
 * longer to make than the rest.
 *
 * @param {Uint8Array} frames
 */
function withSmallWindows(frames) {
  const bytes = Buffer.from(frames);
  for (let at = bytes.indexOf(MAGIC); at !== -1; at = bytes.indexOf(MAGIC, at + 1)) bytes[at + 5] = WINDOW;
  return new Uint8Array(bytes);
}

/** RFC 8878: magic, a window of 128 KiB, blocks of a type each. @param {Uint8Array} content @returns {Uint8Array} */
export function frame(content) {
  const parts = [MAGIC, Uint8Array.of(0x00, WINDOW)];
  for (let at = 0; at < content.length || at === 0; at += MOST_BLOCK) {
    const block = content.subarray(at, at + MOST_BLOCK);
    const isLast = at + MOST_BLOCK >= content.length;
    const isRun = block.length > 1 && block.every((byte) => byte === block[0]);
    const header = (block.length << 3) | (isRun ? 2 : 0) | Number(isLast);
    parts.push(Uint8Array.of(header, header >> 8, header >> 16), isRun ? block.slice(0, 1) : block.slice());
  }
  return new Uint8Array(Buffer.concat(parts));
}
