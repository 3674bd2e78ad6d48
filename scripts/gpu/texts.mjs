// Made-up reviews of the lengths of IMDB's, as a CSV file.
import { readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';

/** Words of IMDB's reviews have a mean of about 230 and a median of 174, with a long tail: a log-normal distribution. */
const MEDIAN = 174;
const SPREAD = 0.75;

/**
 * @param {string} file
 * @param {number} rows
 * @param {{ tokenizer: string, scale?: number }} options `scale` of lengths
 */
export async function writeTexts(file, rows, { tokenizer, scale = 1 }) {
  const vocabulary = (await readFile(join(tokenizer, 'vocab.txt'), 'utf8')).split('\n');
  const words = vocabulary.filter((word) => /^[a-z]{2,}$/.test(word));
  const random = generator(7);
  const lines = ['text,label'];
  for (let row = 0; row < rows; row++) {
    const normal = Math.sqrt(-2 * Math.log(1 - random())) * Math.cos(2 * Math.PI * random());
    const count = Math.max(3, Math.round(scale * MEDIAN * Math.exp(SPREAD * normal)));
    const text = Array.from({ length: count }, () => words[Math.floor(random() * words.length)]).join(' ');
    lines.push(`${text},${row % 2}`);
  }
  await writeFile(file, `${lines.join('\n')}\n`);
}

/** Numbers from 0 to below 1 (mulberry32). @param {number} seed */
function generator(seed) {
  let state = seed;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let x = Math.imul(state ^ (state >>> 15), 1 | state);
    x = (x + Math.imul(x ^ (x >>> 7), 61 | x)) ^ x;
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  };
}
