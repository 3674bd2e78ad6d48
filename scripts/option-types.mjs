// Keeps src/options/values.ts, the types of options with the comments that editors show, equal to src/options/table.ts.
// It needs dist/, from a build that may have had type errors: `npm run docs` makes one without a check of types.
// `--check` writes nothing, and fails where it is out of date.
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { classifierCommand, commands, scoringCommand, trainerCommand } from '../dist/options/commands.js';
import { defaultText } from '../dist/options/flags.js';
import { camelCase } from '../dist/options/option.js';
import { options } from '../dist/options/table.js';

const path = new URL('../src/options/values.ts', import.meta.url);
const settings = { ...(await resolveConfig(path)), parser: 'typescript' };
const text = await format(optionValues(), settings);
if (!process.argv.includes('--check')) await writeFile(path, text);
else if (text !== (await readFile(path, 'utf8')))
  throw new Error('src/options/values.ts is out of date: npm run docs');

function optionValues() {
  const properties = Object.entries(options).map(
    ([name, option]) => `${comment(option)}\n  ${name}: ${option.kind.type};`,
  );
  return `// Generated from src/options/table.ts by \`npm run docs\`; do not edit.
import type { SchedulerKwargs } from './schedulers.js';

/** The value of every option, with the sentence that the help has for it. */
export interface OptionValues {
  ${properties.join('\n  ')}
}

/** For each command the options that always have a value, and those that may be missing. */
// prettier-ignore
export interface CommandOptions {
  ${[...commands, trainerCommand, scoringCommand, classifierCommand].map(namesOf).join('\n  ')}
}
`;
}

/** @param {import('../dist/options/commands.js').Command} command */
function namesOf({ name, options: own }) {
  /** @param {boolean} isNeeded */
  const union = (isNeeded) => {
    const found = Object.entries(own).filter(([, { neededBy }]) => neededBy.includes(name) === isNeeded);
    return found.length === 0 ? 'never' : found.map(([key]) => `'${key}'`).join(' | ');
  };
  return `${name}: { always: ${union(true)}; optional: ${union(false)} };`;
}

/** @param {import('../dist/options/option.js').Option} option */
function comment(option) {
  const { help, kind, otherwise } = option;
  const fallback = defaultText(option) || (kind.type === 'boolean' ? 'false' : '');
  const isCode = otherwise === undefined || /^\W+$/.test(otherwise);
  const sentences = [
    help,
    ...(kind.type === 'number' ? [kind.what] : []),
    ...(fallback === '' ? [] : [`default: ${isCode ? `\`${fallback}\`` : fallback}`]),
  ];
  return `/** ${sentences.map((one) => `${capitalized(asProperties(one))}.`).join(' ')} */`;
}

/**
 * Options that a sentence names as flags, by their names in TypeScript.
 *
 * @param {string} sentence
 */
function asProperties(sentence) {
  return sentence.replaceAll(/(?<=^|\s)--([a-z][a-z-]*)/g, (_, flag) => `\`${camelCase(flag)}\``);
}

/** @param {string} sentence */
function capitalized(sentence) {
  return sentence.charAt(0).toUpperCase() + sentence.slice(1);
}
