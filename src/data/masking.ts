// Which tokens of a row are masked, and what stands in their place: a pure function of the seed, the epoch, the row and the place in
// it, so that a resumed run masks what the first would have masked, however a step is cut into batches.
import { NOT_MASKED } from '../tasks/index.js';
import { UsageError } from '../util/errors.js';
import type { BertTokenizer } from '../tokenizer/index.js';

/** Of the tokens that are chosen: replaced by the mask token, and by a random one; the others stay. */
const MASK_SHARE = 0.8;
const RANDOM_SHARE = 0.1;

// What a token is to the words of a text: it begins one, belongs to the one before, or is one of its own, as a special token is.
const [START, CONTINUATION, ALONE] = [0, 1, 2];

/** What masking knows of a tokenizer. */
export interface MaskingVocabulary {
  readonly maskId: number;
  /** Random tokens are drawn below. */
  readonly size: number;
  /** [size], for whole words. */
  readonly parts: Uint8Array;
}

/** @throws UsageError for a tokenizer without a mask token */
export function maskingVocabulary(tokenizer: BertTokenizer): MaskingVocabulary {
  const maskId = maskIdOf(tokenizer);
  const size = tokenizer.vocabSize;
  const specials = new Set(
    tokenizer.spec.tokenizerJson.added_tokens.filter(({ special }) => special).map(({ id }) => id),
  );
  const hasMarkedStarts = Array.from({ length: size }, (_, id) => tokenizer.idToToken(id) ?? '').some(
    (token) => /^[Ġ▁]./.test(token),
  );
  const parts = Uint8Array.from({ length: size }, (_, id) =>
    specials.has(id) ? ALONE : partOf(tokenizer.idToToken(id) ?? '', hasMarkedStarts),
  );
  return { maskId, size, parts };
}

function maskIdOf(tokenizer: BertTokenizer): number {
  const named: unknown = tokenizer.spec.tokenizerConfig['mask_token'];
  const token =
    typeof named === 'object' && named !== null && 'content' in named ? named.content : (named ?? undefined);
  for (const name of [token, '[MASK]', '<mask>']) {
    const id = typeof name === 'string' ? tokenizer.tokenToId(name) : undefined;
    if (id !== undefined) return id;
  }
  throw new UsageError(
    'The tokenizer has no mask token ([MASK] or <mask>); a masked language model needs the tokenizer of one',
  );
}

/** WordPiece marks what continues a word, byte-level BPE and SentencePiece what begins one. */
function partOf(token: string, hasMarkedStarts: boolean): number {
  if (!hasMarkedStarts) return token.startsWith('##') ? CONTINUATION : START;
  if (/^[Ġ▁]/.test(token)) return START;
  return /^[\p{P}\p{S}]+$/u.test(token) && !/[¡-Ń]/.test(token) ? ALONE : CONTINUATION;
}

/** How the rows of a step are masked. */
export interface Masking {
  readonly vocabulary: MaskingVocabulary;
  readonly seed: number;
  /** Whether the tokens of a word are masked together. */
  readonly wholeWords: boolean;
}

/**
 * Masks tokens of a row as DataCollatorForLanguageModeling of transformers 5.18 does: each with the given probability, of these 80 %
 * by the mask token and 10 % by a random one.
 *
 * @param ids of the row; they are changed in place
 * @param isSpecial [tokens], 1 at special tokens, which are never masked
 * @param at.epoch another one gives other masks
 * @returns [tokens]: what was masked, -100 elsewhere
 */
export function maskTokens(
  ids: Int32Array,
  isSpecial: Uint8Array,
  { vocabulary, seed, wholeWords }: Masking,
  at: { epoch: number; row: number; probability: number },
): Int32Array {
  const draw = drawsOf(seed, at.epoch, at.row);
  const labels = new Int32Array(ids.length).fill(NOT_MASKED);
  let first = 0; // place of the word's first token, by which it is drawn
  let before = ALONE;
  for (const [place, id] of ids.entries()) {
    const part = isSpecial[place] === 1 ? ALONE : (vocabulary.parts[id] ?? ALONE);
    const continues = wholeWords && part === CONTINUATION && before !== ALONE;
    if (!continues) first = place;
    // The word that a cut left at the start of a row begins there.
    before = part === CONTINUATION && !continues ? START : part;
    if (isSpecial[place] === 1 || draw(first, 0) >= at.probability) continue;
    labels[place] = id;
    const kind = draw(first, 1);
    if (kind < MASK_SHARE) ids[place] = vocabulary.maskId;
    else if (kind < MASK_SHARE + RANDOM_SHARE) ids[place] = Math.floor(draw(place, 2) * vocabulary.size);
  }
  return labels;
}

/** Uniform numbers in [0, 1) by place and purpose. */
function drawsOf(seed: number, epoch: number, row: number): (place: number, purpose: number) => number {
  const key = mixed(mixed(mixed(seed) ^ Math.imul(epoch, 0x9e3779b1)) ^ row);
  const second = mixed(key ^ 0x68bc21eb);
  return (place, purpose) =>
    (mixed(mixed(key ^ Math.imul(3 * place + purpose + 1, 0x85ebca6b)) ^ second) >>> 0) / 2 ** 32;
}

/** The 32 bits of a number, each of them in all others: the finaliser of a hash (Wellons 2018). */
function mixed(value: number): number {
  let x = Math.imul(value ^ (value >>> 16), 0x21f0aaad);
  x = Math.imul(x ^ (x >>> 15), 0x735a2d97);
  return x ^ (x >>> 15);
}

/** A share of tokens, or two of them for the begin and the end of a training. */
export function maskingProbability(given: number | string, progress: number): number {
  if (typeof given === 'number') return given;
  const [from = 0, to = from] = given.split(':').map(Number);
  return from + (to - from) * progress;
}
