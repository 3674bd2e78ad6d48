// The normalizer of a tokenizer.json on a text that keeps its places in the original. The text is that of normalizers.ts.
import type { AlignedText, Edit } from './aligned-text.js';
import { createCharsmap } from './charsmap.js';
import { NMT_REMOVED, NMT_SPACES, cleaned, createNormalizer, type NormalizerJson } from './normalizers.js';
import { patternOf } from './patterns.js';
import {
  CHARACTER_CLASSES,
  COMBINING,
  MARK,
  byteCharacters,
  lowerCase,
  normalizeUnicode,
  trim,
} from './unicode.js';

type Edits = (text: string) => Edit[];

/** @throws UsageError for a charsmap that cannot be read */
export function createAlignedNormalizer(json: NormalizerJson | null): (text: AlignedText) => AlignedText {
  if (json === null) return (text) => text;
  const normalize = createNormalizer(json);
  const steps = stepsOf(json);
  return (text) => {
    const result = normalize(text.text);
    if (result === text.text) return text;
    // One character of one unit for another, as in most texts that are lower-cased.
    if (result.length === text.text.length && result === lowerCase(text.text)) return text.withUnits(result);
    return steps.reduce((aligned, edits) => aligned.edited(edits(aligned.text)), text);
  };
}

function stepsOf(json: NormalizerJson): Edits[] {
  switch (json.type) {
    case 'Sequence':
      return json.normalizers.flatMap(stepsOf);
    case 'BertNormalizer': {
      const { clean_text: clean, handle_chinese_chars: chinese, lowercase } = json;
      return [
        ...(clean || chinese ? [byCharacter((character) => cleaned(character, clean, chinese))] : []),
        ...((json.strip_accents ?? lowercase) ? [unicodeEdits('NFD'), removal(MARK)] : []),
        ...(lowercase ? [byCharacter(lowerCase)] : []),
      ];
    }
    case 'Precompiled': {
      const charsmap = createCharsmap(json.precompiled_charsmap);
      return [(text) => changes(charsmap.parts(text))];
    }
    case 'Replace': {
      const { pattern, content } = json;
      const find = 'Regex' in pattern ? patternOf(pattern.Regex) : literal(pattern.String);
      return [replacements(find, content)];
    }
    case 'NFC':
    case 'NFD':
    case 'NFKC':
    case 'NFKD':
      return [unicodeEdits(json.type)];
    case 'Lowercase':
      return [byCharacter(lowerCase)];
    case 'StripAccents':
      return [removal(COMBINING)];
    case 'Nmt':
      return [replacements(NMT_REMOVED, ''), replacements(NMT_SPACES, ' ')];
    case 'ByteLevel':
      return [byCharacter(byteCharacters)];
    case 'Strip':
      return [
        (text) => {
          const start = json.strip_left ? text.length - trim(text, { left: true, right: false }).length : 0;
          const end = json.strip_right ? trim(text, { left: false, right: true }).length : text.length;
          const edits: Edit[] = [[0, start, '']];
          if (end < text.length && end >= start) edits.push([end, text.length, '']);
          return edits;
        },
      ];
  }
  return [(text) => (text === '' ? [] : [[0, 0, json.prepend]])];
}

/** Those parts that are replaced by something else. */
function changes(parts: Iterable<readonly [source: string, result: string]>): Edit[] {
  const edits: Edit[] = [];
  let at = 0;
  for (const [source, result] of parts) {
    if (result !== source) edits.push([at, at + source.length, result]);
    at += source.length;
  }
  return edits;
}

export function byCharacter(convert: (character: string) => string): Edits {
  return (text) => changes(Array.from(text, (character) => [character, convert(character)] as const));
}

function removal(flag: number): Edits {
  return byCharacter((character) =>
    ((CHARACTER_CLASSES[character.codePointAt(0) ?? 0] ?? 0) & flag) !== 0 ? '' : character,
  );
}

function literal(text: string): RegExp {
  return new RegExp(text.replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&'), 'gu');
}

function replacements(pattern: RegExp, content: string): Edits {
  return (text) =>
    Array.from(text.matchAll(pattern), (match): Edit => [
      match.index,
      match.index + match[0].length,
      content,
    ]);
}

/**
 * A character with those that may compose or change places with it: marks, the vowels and final consonants of Hangul,
 * voicing marks, Kirat Rai vowel signs, in their wide and narrow forms. What lies in different such stretches is
 * normalized independently.
 */
const STRETCH =
  /[^][\p{M}\u1160-\u11ff\u3099\u309a\uff9e\uff9f\uffc2-\uffdc\ud7b0-\ud7ff\u{16d63}\u{16d67}]*/gu;

function unicodeEdits(form: 'NFC' | 'NFD' | 'NFKC' | 'NFKD'): Edits {
  return (text) => {
    if (normalizeUnicode(text, form) === text) return [];
    const stretches = text.match(STRETCH) ?? [];
    return changes(stretches.map((stretch) => [stretch, normalizeUnicode(stretch, form)] as const));
  };
}
