// File patterns as data set cards use them (fsspec's glob): `*` and `?` stay inside a folder, `**` as a whole part
// crosses folders, `[...]` is a set of characters.

/** The regular expression that matches whole paths as `pattern` does. */
export function globToRegExp(pattern: string): RegExp {
  const parts = pattern.replace(/^(\.?\/)+/, '').split('/');
  const source = parts.map((part, i) => {
    const last = i === parts.length - 1;
    if (part === '**') return last ? '.+' : '(?:.+/)?';
    return partSource(part) + (last ? '' : '/');
  });
  return new RegExp(`^${source.join('')}$`, 's');
}

function partSource(part: string): string {
  const tokens = part.match(/\*+|\?|\[[!^]?\]?[^\]]*\]|[^]/g) ?? [];
  return tokens.map(tokenSource).join('');
}

function tokenSource(token: string): string {
  if (token.startsWith('*')) return '[^/]*';
  if (token === '?') return '[^/]';
  if (token.length > 2 && token.startsWith('[')) {
    const [, negated = '', set = ''] = /^\[([!^]?)(.*)\]$/s.exec(token) ?? [];
    return `[${negated && '^'}${set.replaceAll(/[\\\][&^]/g, String.raw`\$&`)}]`;
  }
  return token.replace(/[\\^$.*+?()[\]{}|/]/, String.raw`\$&`);
}
