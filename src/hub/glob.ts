// File patterns as data set cards use them (fsspec's glob): `*` and `?` stay inside a folder, `**` as a whole part
// crosses folders, `[...]` is a set of characters. Cards come from outside, so no pattern becomes a regular expression,
// whose time has no bound. Here it is at most pattern times path.

/** Matches one character, any number of them inside a folder, or any number of whole folders. */
type Token = { one: (character: string) => boolean } | { many: (character: string) => boolean } | 'folders';

/** Whether a pattern matches more than the path of the same name. */
export function hasMagic(pattern: string): boolean {
  return /[*?[]/.test(pattern);
}

/** The pattern as fsspec takes it: without `/` and `./` at its start. */
export function relativePattern(pattern: string): string {
  return pattern.replace(/^(\.?\/)+/, '');
}

/** A test for whole paths. */
export function globMatcher(pattern: string): (path: string) => boolean {
  const tokens = tokensOf(relativePattern(pattern));
  return (path) => matches(tokens, path);
}

const inFolder = (character: string): boolean => character !== '/';

function tokensOf(pattern: string): Token[] {
  const tokens: Token[] = [];
  const parts = pattern.split('/');
  for (const [i, part] of parts.entries()) {
    const isLast = i === parts.length - 1;
    if (part === '**' && isLast) tokens.push({ one: () => true }, { many: () => true });
    else if (part === '**') tokens.push('folders');
    else {
      for (const token of partTokens(part)) tokens.push(token);
      if (!isLast) tokens.push(literal('/'));
    }
  }
  return tokens;
}

function partTokens(part: string): Token[] {
  const tokens: Token[] = [];
  for (let i = 0; i < part.length;) {
    const character = part.charAt(i);
    // A ] right after the bracket, or after its negation, is one of the set.
    const end = character === '[' ? part.indexOf(']', i + (part.charAt(i + 1) === '!' ? 3 : 2)) : -1;
    if (end > 0) tokens.push({ one: setTest(part.slice(i + 1, end)) });
    else if (character === '*') {
      if (part.charAt(i - 1) !== '*') tokens.push({ many: inFolder });
    } else if (character === '?') tokens.push({ one: inFolder });
    else tokens.push(literal(character));
    i = end > 0 ? end + 1 : i + 1;
  }
  return tokens;
}

function literal(character: string): Token {
  return { one: (other) => other === character };
}

/** The test for `a-z_` or `!a-z_`. A range from high to low holds nothing, as in Python. */
function setTest(set: string): (character: string) => boolean {
  const isNegated = set.startsWith('!');
  const ranges: [string, string][] = [];
  for (let i = isNegated ? 1 : 0; i < set.length;) {
    const isRange = set.charAt(i + 1) === '-' && i + 2 < set.length;
    ranges.push([set.charAt(i), set.charAt(isRange ? i + 2 : i)]);
    i += isRange ? 3 : 1;
  }
  return (character) => ranges.some(([low, high]) => low <= character && character <= high) !== isNegated;
}

/** Goes through the path once, with the places in the pattern that are reached so far. */
function matches(tokens: readonly Token[], path: string): boolean {
  let reached = new Uint8Array(tokens.length + 1);
  let next = new Uint8Array(tokens.length + 1);
  reach(tokens, 0, true, reached);
  for (let i = 0; i < path.length; i++) {
    const character = path.charAt(i);
    next.fill(0);
    for (let place = reached.indexOf(1); place >= 0; place = reached.indexOf(1, place + 1)) {
      const token = tokens[place];
      if (token === undefined) continue;
      if (token === 'folders') reach(tokens, place, character === '/', next);
      else if ('one' in token && token.one(character)) reach(tokens, place + 1, character === '/', next);
      else if ('many' in token && token.many(character)) reach(tokens, place, character === '/', next);
    }
    [reached, next] = [next, reached];
    if (!reached.includes(1)) return false;
  }
  return reached[tokens.length] === 1;
}

/** Marks a place in the pattern, and those after it that need no further character. */
function reach(tokens: readonly Token[], from: number, atFolder: boolean, reached: Uint8Array): void {
  for (let place = from; reached[place] === 0; place++) {
    reached[place] = 1;
    const token = tokens[place];
    if (token === undefined || !(token === 'folders' ? atFolder : 'many' in token)) return;
  }
}
