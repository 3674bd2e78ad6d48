// Regular expressions in a tokenizer.json. JavaScript's can take exponential time ((a+)+$), Rust's cannot; so whoever
// wrote the file could stop the run at any text of their choice. Only those of published tokenizers are taken, written
// out here for JavaScript, where `\s` is another set of characters.
import { z } from 'zod';
import { UsageError } from '../util/errors.js';

/** Of a text to look for, and of one that takes its place. */
export const MAX_CONTENT_LENGTH = 256;

export const patternSchema = z.union([
  z.strictObject({ String: z.string().min(1).max(MAX_CONTENT_LENGTH) }),
  z.strictObject({ Regex: z.string() }),
]);
export type PatternJson = z.infer<typeof patternSchema>;

const WS = '\\p{White_Space}';
const LETTERS_AND_DIGITS = '\\p{L}\\p{N}';

/** GPT-2's pattern; pre-tokenizers.ts has it for Rust's tables. */
export const GPT2_PATTERN =
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+";

/** The text in the file and its meaning; the time of each is linear. */
const KNOWN: ReadonlyMap<string, string> = new Map([
  ['\\s+', `${WS}+`],
  [' {2,}', ' {2,}'],
  // DeBERTa-v2 in transformers 5
  ['\\s{2,}|[\\n\\r\\t]', `${WS}{2,}|[\\n\\r\\t]`],
  [
    GPT2_PATTERN,
    `'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^${WS}${LETTERS_AND_DIGITS}]+|${WS}+(?!\\P{White_Space})|${WS}+`,
  ],
  // Llama 3, EuroBERT. The long s is an s in another case.
  [
    "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
    `'(?:[sSſ]|[tT]|[rR][eE]|[vV][eE]|[mM]|[lL][lL]|[dD])|[^\\r\\n${LETTERS_AND_DIGITS}]?\\p{L}+|\\p{N}{1,3}` +
      `| ?[^${WS}${LETTERS_AND_DIGITS}]+[\\r\\n]*|${WS}*[\\r\\n]+|${WS}+(?!\\P{White_Space})|${WS}+`,
  ],
]);

/** @throws UsageError for a pattern that is not a known one */
export function patternOf(source: string): RegExp {
  const known = KNOWN.get(source);
  if (known === undefined)
    throw new UsageError(
      `This tokenizer.json cannot be used: it has the regular expression ${JSON.stringify(source).slice(0, 100)}`,
    );
  return new RegExp(known, 'gu');
}

/** @throws UsageError for a component with a pattern of its own (`{"Regex": ...}`) */
export function requireKnownPatterns(components: Readonly<Record<string, unknown>>, where: string): void {
  for (const [name, component] of Object.entries(components)) {
    const foreign = patternsIn(component).find(
      (pattern) => typeof pattern !== 'string' || !KNOWN.has(pattern),
    );
    if (foreign === undefined) continue;
    throw new UsageError(
      `${where} cannot be used: its ${name} has the regular expression ${JSON.stringify(foreign)?.slice(0, 100)}, which may take ` +
        'exponential time; bertune takes those of well-known tokenizers only',
    );
  }
}

function patternsIn(value: unknown): unknown[] {
  if (typeof value !== 'object' || value === null) return [];
  return Object.entries(value).flatMap(([key, item]) => (key === 'Regex' ? [item] : patternsIn(item)));
}
