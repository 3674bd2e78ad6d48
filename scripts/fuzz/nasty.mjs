// Values that break readers: numbers at the limits of their types, names of Object.prototype, paths, patterns.

/** For lengths, counts and offsets. */
export const NUMBERS = [
  0n, 1n, -1n, 2n, 7n, 8n, 127n, 128n, 255n, 256n, 4095n, 65535n, 65536n, 100_000_000n, 2n ** 31n - 1n, 2n ** 31n,
  2n ** 32n - 1n, 2n ** 32n, 2n ** 40n, 2n ** 53n - 1n, 2n ** 53n, 2n ** 63n - 1n, 2n ** 63n, 2n ** 64n - 1n,
];

/** For keys of objects. */
export const KEYS = ['__proto__', 'constructor', 'prototype', 'toString', 'hasOwnProperty', 'length', '', '0', '\u0000', '\u001b[2J'];

/** JSON values as they are written, valid and not. */
export const VALUES = [
  ...NUMBERS.map(String),
  '0.5', '-0', '1e999', '1e308', '-1e-400', 'NaN', '-Infinity', 'null', 'true', 'false', '""', '[]', '{}', '[[]]', '[null]',
  '"\\ud800"', '"\\u0000"', '"\\u001b[31m"', '"__proto__"', '"constructor"', '"../../../etc/passwd"', '"/dev/zero"', '"."',
  '"(a+)+$"', '"=1+1"', '"\u202e"', '{"__proto__":{"polluted":true}}', '{"constructor":{"prototype":{"polluted":true}}}',
  `"${'a'.repeat(5000)}"`, `${'['.repeat(200)}${']'.repeat(200)}`, `${'{"a":'.repeat(200)}1${'}'.repeat(200)}`,
];

/** Pieces of text. */
export const DICTIONARY = [
  '"', '""', '\\', '\n', '\r', '\r\n', ',', '\t', '\0', '\uFEFF', '\u2028', '\u001b[31m', '__proto__', '{', '}', '[', ']', ':',
  'null', 'PAR1', '\ud83d\ude00', '\\ud800', '=cmd', '\u009b',
];
