// Regular expressions in a tokenizer.json. JavaScript's can take exponential time ((a+)+$), Rust's cannot; so whoever wrote
// the file could stop the run at any text of their choice.
import { UsageError } from '../util/errors.js';

/** Patterns of published tokenizers, whose time is linear. */
const KNOWN: ReadonlySet<unknown> = new Set([
  '\\s+',
  ' {2,}',
  "'s|'t|'re|'ve|'m|'ll|'d| ?\\p{L}+| ?\\p{N}+| ?[^\\s\\p{L}\\p{N}]+|\\s+(?!\\S)|\\s+",
  "(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\\r\\n\\p{L}\\p{N}]?\\p{L}+|\\p{N}{1,3}| ?[^\\s\\p{L}\\p{N}]+[\\r\\n]*|\\s*[\\r\\n]+|\\s+(?!\\S)|\\s+",
]);

/** @throws UsageError for a component with a pattern of its own (`{"Regex": ...}`) */
export function requireNoPatterns(components: Readonly<Record<string, unknown>>, where: string): void {
  for (const [name, component] of Object.entries(components)) {
    const foreign = patternsIn(component).find((pattern) => !KNOWN.has(pattern));
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
