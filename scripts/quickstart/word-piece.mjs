// Trains a WordPiece vocabulary as Hugging Face's trainer does: byte-pair merges, the most frequent pair first. Its
// result depends on nothing but the words: of equally frequent pairs the first in the alphabet is merged.

/** @typedef {{ symbols: string[], count: number }} Word the pieces a word consists of so far */
/** @typedef {{ left: string, right: string, count: number, words: Set<Word> }} Pair two neighbouring pieces */

/**
 * @param {ReadonlyMap<string, number>} words how often each word occurs
 * @param {number} size entries, characters included
 * @param {readonly string[]} characters those that get entries; words with others are left out
 * @returns {string[]} the entries, pieces inside a word marked with ##
 */
export function trainWordPiece(words, size, characters) {
  const vocabulary = new Set([...characters, ...characters.map((character) => `##${character}`)]);
  /** @type {Map<string, Pair>} */
  const pairs = new Map();
  for (const [text, count] of words) {
    const symbols = Array.from(text).map((character, index) => (index === 0 ? character : `##${character}`));
    if (symbols.every((symbol) => vocabulary.has(symbol))) countPairs(pairs, { symbols, count }, 1);
  }
  while (vocabulary.size < size) {
    const best = mostFrequent(pairs);
    if (best === undefined) break;
    vocabulary.add(joined(best));
    for (const word of best.words) {
      countPairs(pairs, word, -1);
      merge(word, best);
      countPairs(pairs, word, 1);
    }
  }
  return [...vocabulary];
}

/**
 * Adds a word's pairs to the counts, or takes them out.
 *
 * @param {Map<string, Pair>} pairs
 * @param {Word} word
 * @param {1 | -1} sign
 */
function countPairs(pairs, word, sign) {
  for (const [index, right] of word.symbols.entries()) {
    const left = word.symbols[index - 1];
    if (left === undefined) continue;
    const key = `${left} ${right}`;
    const pair = pairs.get(key) ?? { left, right, count: 0, words: new Set() };
    pair.count += sign * word.count;
    if (sign === 1) pair.words.add(word);
    else pair.words.delete(word);
    if (pair.count > 0) pairs.set(key, pair);
    else pairs.delete(key);
  }
}

/** @param {Word} word @param {Pair} pair */
function merge(word, pair) {
  /** @type {string[]} */
  const symbols = [];
  for (const symbol of word.symbols) {
    if (symbol === pair.right && symbols.at(-1) === pair.left) symbols[symbols.length - 1] = joined(pair);
    else symbols.push(symbol);
  }
  word.symbols = symbols;
}

/** @param {Map<string, Pair>} pairs */
function mostFrequent(pairs) {
  /** @type {Pair | undefined} */
  let best;
  for (const pair of pairs.values()) {
    if (
      best === undefined ||
      pair.count > best.count ||
      (pair.count === best.count && joined(pair) < joined(best))
    ) {
      best = pair;
    }
  }
  return best;
}

/** @param {Pair} pair */
function joined({ left, right }) {
  return left + right.slice('##'.length);
}
