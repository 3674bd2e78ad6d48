// Token ids with the places of the tokens in the text as it was given. The ids are those of text-ids.ts; this way is not
// cached and takes several times as long.
import { createAddedTokenFinder, type FoundToken } from './added-tokens.js';
import { createAlignedNormalizer } from './aligned-normalizers.js';
import { createAlignedPreTokenizer } from './aligned-pre-tokenizers.js';
import { AlignedText, type Span } from './aligned-text.js';
import { createModel, type Model } from './models.js';
import { createNormalizer } from './normalizers.js';
import { readsPlace } from './pre-tokenizers.js';
import { dropsStart, wellFormed } from './text-ids.js';
import { SPACE, hasFlag } from './unicode.js';
import type { PostProcessorJson, TokenizerJson, TokenizerSpec } from './tokenizer-json.js';

/** Tokens of a text without special tokens around it. */
export interface TokensWithOffsets {
  /** [tokens] */
  ids: Int32Array;
  /**
   * [2 x tokens], start and end of each token in UTF-16 units: `text.slice(start, end)`. Tokens of the bytes of one
   * character have its place each. Start and end are equal where a post-processor leaves out blanks and there is nothing
   * else.
   */
  offsets: Int32Array;
}

/** One token, and what it is made of: byte-level characters for byte-level BPE. */
interface Token {
  id: number;
  content: string;
  span: Span;
}

/**
 * Offsets as those of Hugging Face's Rust tokenizers, in UTF-16 units, with two differences: characters that the
 * normalizer joins count whole (an `e` and its combining accent, where Rust names the `e` alone), and so does what a
 * normalizer's replacement stands for.
 *
 * @example
 * ```ts
 * const tokenize = createOffsetTokenizer(tokenizer.spec);
 * const { ids, offsets } = tokenize('Zoë lives in Köln');
 * ```
 */
export function createOffsetTokenizer(spec: TokenizerSpec): (text: string) => TokensWithOffsets {
  const { tokenizerJson: json, tokenizerConfig: config } = spec;
  const tokensOf = createPipeline(json, config.split_special_tokens !== true);
  const trim = trimming(json.post_processor);
  return (text) => {
    const tokens = tokensOf(AlignedText.of(wellFormed(text)));
    return {
      ids: Int32Array.from(tokens, ({ id }) => id),
      offsets: Int32Array.from(tokens.flatMap((token, index) => trim(text, token, index))),
    };
  };
}

function createPipeline(json: TokenizerJson, readSpecials: boolean): (text: AlignedText) => Token[] {
  const { normalizer, pre_tokenizer: preTokenizer, added_tokens: added } = json;
  const normalize = createNormalizer(normalizer);
  const normalizeAligned = createAlignedNormalizer(normalizer);
  const preTokenize = createAlignedPreTokenizer(preTokenizer);
  const asksForPlace = normalizer !== null && readsPlace(preTokenizer);
  const model = createModel(json.model);
  const findRaw = createAddedTokenFinder(
    added.filter(({ normalized }) => !normalized),
    readSpecials,
  );
  const findNormalized = createAddedTokenFinder(
    added
      .filter(({ normalized }) => normalized)
      .map((token) => Object.assign({}, token, { content: normalize(token.content) })),
    readSpecials,
  );
  return (text) =>
    sections(text, findRaw, (raw, isFirst) => {
      const keepsPlace = isFirst && !(asksForPlace && dropsStart(raw.text, normalize));
      return sections(normalizeAligned(raw), findNormalized, (section, isFirstHere) =>
        preTokenize(section, keepsPlace && isFirstHere).flatMap((piece) => tokensOfPiece(piece, model)),
      );
    });
}

/** The added tokens, and those of the text between them. */
function sections(
  text: AlignedText,
  find: (text: string) => Iterable<FoundToken>,
  tokensOf: (section: AlignedText, isFirst: boolean) => Token[],
): Token[] {
  const tokens: Token[][] = [];
  let done = 0;
  for (const { id, start, end } of find(text.text)) {
    if (start > done) tokens.push(tokensOf(text.slice(done, start), done === 0));
    tokens.push([{ id, content: text.text.slice(start, end), span: text.span(start, end) }]);
    done = end;
  }
  if (done < text.text.length || done === 0)
    tokens.push(tokensOf(text.slice(done, text.text.length), done === 0));
  return tokens.flat();
}

function tokensOfPiece(piece: AlignedText, model: Model): Token[] {
  const places: number[] = [];
  const ids = model(piece.text, undefined, places);
  return ids.map((id, index) => {
    const [start, end] = [places[2 * index] ?? 0, places[2 * index + 1] ?? 0];
    return { id, content: piece.text.slice(start, end), span: piece.span(start, end) };
  });
}

/** What stands for a blank in a byte-level vocabulary. */
const BLANK = '\u0120';

/** What the post-processor makes of the place of the token number `index`; Rust's `process_offsets` of ByteLevel. */
function trimming(processor: PostProcessorJson | null): (text: string, token: Token, index: number) => Span {
  if (processor?.type === 'Sequence') {
    const steps = processor.processors.map(trimming);
    return (text, token, index) =>
      steps.reduce((span, step) => step(text, { ...token, span }, index), token.span);
  }
  const trims =
    (processor?.type === 'ByteLevel' || processor?.type === 'RobertaProcessing') &&
    processor['trim_offsets'] !== false;
  if (!trims) return (_text, { span }) => span;
  const addsSpace = processor['add_prefix_space'] !== false;
  return (text, { content, span: [start, end] }, index) => {
    const isPrefixed = (index === 0 || start === 0) && addsSpace;
    let before = 0;
    if (!isPrefixed) while (isBlank(content, before)) before++;
    let after = 0;
    while (isBlank(content, content.length - 1 - after)) after++;
    let first = start;
    // A blank that the pre-tokenizer put in is not in the text: it has the place of the character after it.
    while (first < Math.min(start + before, end) && (content[0] !== BLANK || text[first] === ' ')) first++;
    if (before === content.length) return [first, first];
    return [first, after > 0 && end >= after ? Math.max(end - after, first) : end];
  };
}

function isBlank(content: string, at: number): boolean {
  return content[at] === BLANK || (at >= 0 && at < content.length && hasFlag(content, at, SPACE));
}
