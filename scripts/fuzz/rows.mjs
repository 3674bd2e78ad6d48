// A data file read as every command reads it: one pass over the rows, then some of them again by their numbers.
import { join } from 'node:path';
import { openSplit } from '../../dist/data/index.js';

const REREAD_ROWS = 40;

/**
 * @param {string} folder
 * @param {string} name
 * @param {{ quoting?: 'minimal' | 'none' }} [how]
 */
export async function readRows(folder, name, how = {}) {
  const file = join(folder, name);
  const options = /** @type {const} */ ({ name: 'train', files: [file], badRows: 'skip' });
  const split = await openSplit({ ...options, ...how, needsLabels: true });
  try {
    const rows = Array.from({ length: Math.min(split.size, REREAD_ROWS) }, (_, row) => row);
    const examples = await split.read(rows);
    const last = await split.read([split.size - 1]);
    return {
      size: split.size,
      examples: [...examples, ...last],
      labels: rows.map((row) => split.labels?.at(row) ?? []),
      bad: split.badRows.count,
    };
  } finally {
    await split.close();
  }
}

/** @param {Awaited<ReturnType<typeof readRows>>} result */
export function checkRows({ examples, labels }) {
  if (examples.some(({ text }) => text.trim() === '' || /\p{Surrogate}/u.test(text)))
    return 'returns an empty or invalid text';
  if (labels.flat().some((label) => label === '' || /\p{Surrogate}/u.test(label)))
    return 'returns an empty or invalid label';
  return null;
}
