// Added tokens: their settings and ids, those that tokenizer_config.json names, and how a text is split at them before it is
// cut into words, as Rust's AddedVocabulary does it.
import { z } from 'zod';
import { idSchema, type ModelJson } from './models.js';
import { ENDS_WITH_WORD, SPACE, STARTS_WITH_WORD, hasFlag } from './unicode.js';
import { isObject } from '../util/json.js';

const MAX_ADDED_TOKEN_LENGTH = 1000;

export const addedTokenSettings = z.looseObject({
  content: z.string().max(MAX_ADDED_TOKEN_LENGTH),
  single_word: z.boolean().default(false),
  lstrip: z.boolean().default(false),
  rstrip: z.boolean().default(false),
  /** Default: as transformers has it, whether it is not special. */
  normalized: z.boolean().optional(),
  special: z.boolean().default(false),
});
export const addedToken = z.looseObject({
  id: idSchema,
  ...addedTokenSettings.shape,
  normalized: z.boolean().default(false),
});

/** A token matched in the raw text (`normalized: false`) or in the normalized one, before anything splits it. */
export type AddedToken = z.infer<typeof addedToken>;
/** An added token whose id depends on the vocabulary. */
export interface NamedToken {
  content: string;
  single_word?: boolean | undefined;
  lstrip?: boolean | undefined;
  rstrip?: boolean | undefined;
  normalized?: boolean | undefined;
  special?: boolean | undefined;
}

/**
 * Rust does not believe the ids of added tokens: one of the vocabulary has its id there, others get the next ones. Of
 * equal tokens the last settings count.
 *
 * @param batches lists that are added one after another: the next id lies above the vocabulary and the lists before
 */
export function withIds(
  { vocab }: Pick<ModelJson, 'vocab'>,
  ...batches: (readonly NamedToken[])[]
): AddedToken[] {
  const own = Array.isArray(vocab)
    ? new Map(vocab.map(([piece], at): [string, number] => [piece, at]))
    : { get: (token: string) => (Object.hasOwn(vocab, token) ? vocab[token] : undefined) };
  const size = Array.isArray(vocab) ? vocab.length : Object.keys(vocab).length;
  const tokens = new Map<string, AddedToken>();
  for (const batch of batches) {
    let nextId = Array.from(tokens.values()).reduce((next, { id: one }) => Math.max(next, one + 1), size);
    for (const { content, ...settings } of batch) {
      if (content === '') continue;
      const { single_word = false, lstrip = false, rstrip = false, special = false } = settings;
      const normalized = settings.normalized ?? !special;
      const at = tokens.get(content)?.id ?? own.get(content) ?? nextId++;
      tokens.set(content, { id: at, content, single_word, lstrip, rstrip, normalized, special });
    }
  }
  return [...tokens.values()].toSorted((left, right) => left.id - right.id);
}

/** What a class has where the files are silent. */
interface SpecialDefaults {
  /** The named special tokens. */
  readonly specials?: ReadonlyMap<string, string>;
  /** Settings of special tokens that the files name by their content alone. */
  readonly settings?: Readonly<Record<string, Partial<NamedToken>>>;
  /** Further special tokens. */
  readonly extra?: readonly string[];
}

/** In the order in which transformers adds those that are missing. */
const NAMED = ['bos_token', 'eos_token', 'unk_token', 'sep_token', 'pad_token', 'cls_token', 'mask_token'];

/**
 * The tokens with those that tokenizer_config.json names and that are not among them: the named ones, `image_token` and
 * its like, and the lists.
 *
 * @param present contents that count as there already
 */
export function withSpecials(
  added: readonly NamedToken[],
  config: Readonly<Record<string, unknown>>,
  {
    specials = new Map(),
    settings = {},
    extra = [],
    present = [],
  }: SpecialDefaults & { present?: readonly string[] },
): NamedToken[] {
  const listed = config['extra_special_tokens'] ?? config['additional_special_tokens'] ?? extra;
  const others = Object.keys(config).filter((key) => key.endsWith('_token') && !NAMED.includes(key));
  const named = [...NAMED, ...others].map((name): NamedToken | null => {
    const given: unknown = config[name];
    const content = contentOf(given) ?? (given === null ? undefined : specials.get(name));
    if (content === undefined) return null;
    return Object.assign({}, isObject(given) ? given : settings[name], { content, special: true });
  });
  const list = (Array.isArray(listed) ? listed : isObject(listed) ? Object.values(listed) : []).map(
    (token: unknown): NamedToken | null => {
      const content = contentOf(token);
      return content === undefined
        ? null
        : Object.assign({ special: true }, isObject(token) ? token : {}, { content });
    },
  );
  const all = [...added];
  const known = new Set([...present, ...added.map(({ content }) => content)]);
  for (const token of [...named, ...list]) {
    if (token === null || known.has(token.content)) continue;
    known.add(token.content);
    all.push(token);
  }
  return all;
}

/** The content of a named special token, which may be given as text or as an object with its content. */
export function specialToken(
  config: Readonly<Record<string, unknown>>,
  name: string,
  defaults: ReadonlyMap<string, string>,
): string {
  return contentOf(config[name]) ?? defaults.get(name) ?? '';
}

/** Of a token that is text or an object with its content. */
export function contentOf(token: unknown): string | undefined {
  if (typeof token === 'string') return token;
  const content = isObject(token) && 'content' in token ? token.content : undefined;
  return typeof content === 'string' ? content : undefined;
}

/** Splits a text into stretches of text and the ids of the added tokens between them, in order. */
type AddedTokenSplitter = (text: string) => (string | number)[];

/** An added token in a text, with the white space that it takes along. */
export interface FoundToken {
  id: number;
  start: number;
  end: number;
}

type Token = Pick<AddedToken, 'id' | 'content' | 'single_word' | 'lstrip' | 'rstrip' | 'special'>;

export function createAddedTokenSplitter(
  tokens: readonly Token[],
  readSpecials: boolean,
): AddedTokenSplitter {
  const find = createAddedTokenFinder(tokens, readSpecials);
  return (text) => {
    const sections: (string | number)[] = [];
    let done = 0;
    for (const { id, start, end } of find(text)) {
      if (start > done) sections.push(text.slice(done, start));
      sections.push(id);
      done = end;
    }
    // Without added tokens an empty text is still a section.
    if (done < text.length || tokens.length === 0) sections.push(text.slice(done));
    return sections;
  };
}

/**
 * The leftmost match wins and the longest among those. A `single_word` token must not touch a letter or digit; one with
 * `lstrip` or `rstrip` takes the white space on that side along.
 */
export function createAddedTokenFinder(
  tokens: readonly Token[],
  readSpecials: boolean,
): (text: string) => Iterable<FoundToken> {
  const byContent = new Map(
    tokens.filter(({ content }) => content !== '').map((token) => [token.content, token]),
  );
  if (byContent.size === 0) return () => [];
  const contents = [...byContent.keys()].toSorted((left, right) => right.length - left.length);
  const pattern = new RegExp(
    contents.map((content) => content.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')).join('|'),
    'gu',
  );

  return function* (text) {
    let done = 0;
    for (const match of text.matchAll(pattern)) {
      const token = byContent.get(match[0]);
      let start = match.index;
      let end = start + match[0].length;
      if (token === undefined || (token.special && !readSpecials)) continue;
      if (token.single_word && touchesWord(text, start, end)) continue;
      if (token.lstrip) while (start > done && hasFlag(text, start - 1, SPACE)) start--;
      if (token.rstrip) while (end < text.length && hasFlag(text, end, SPACE)) end++;
      yield { id: token.id, start, end };
      done = end;
    }
  };
}

/** Two UTF-16 units hold any character; the pattern would search all of a longer text. */
function touchesWord(text: string, start: number, end: number): boolean {
  return (
    ENDS_WITH_WORD.test(text.slice(Math.max(0, start - 2), start)) ||
    STARTS_WITH_WORD.test(text.slice(end, end + 2))
  );
}
