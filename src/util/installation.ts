// Where this package is, and how its commands are typed there: `npm run` in a checkout, `npx bertune` elsewhere.
import { readFileSync } from 'node:fs';
import { dirname, join, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { z } from 'zod';

export const packageRoot = dirname(dirname(dirname(fileURLToPath(import.meta.url))));
/** Whether npm installed the package in another project. */
export const isInstalled = packageRoot.split(sep).includes('node_modules');

/** As package.json has it. */
export function packageVersion(): string {
  const text = readFileSync(join(packageRoot, 'package.json'), 'utf8');
  return z.object({ version: z.string() }).parse(JSON.parse(text)).version;
}

/** Whether the current folder is that of the repository. */
export function isCheckout(): boolean {
  return !isInstalled && process.cwd() === packageRoot;
}

/**
 * A command as it can be typed in the current folder.
 *
 * @param name e.g. `predict`
 * @param args for a shell; see `shellWord`
 */
export function commandLine(name: string, args = ''): string {
  const words = isCheckout() ? ['npm run', name, args && '--', args] : ['npx bertune', name, args];
  return words.filter((word) => word !== '').join(' ');
}

/** A name or a text as one word of a shell command, in quotes where it needs them. */
export function shellWord(text: string): string {
  if (/^[\p{L}\p{N}_@%+=:,./-]+$/u.test(text)) return text;
  return /["$`\\!]/.test(text) ? `'${text.replaceAll("'", String.raw`'\''`)}'` : `"${text}"`;
}
