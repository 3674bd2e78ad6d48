// Keeps src/options/values.ts, the comments that editors show for options, equal to the table in src/options/table.ts.
// `--check` writes nothing, and fails where it is out of date.
import { readFile, writeFile } from 'node:fs/promises';
import { format, resolveConfig } from 'prettier';
import { defaultText } from '../dist/options/flags.js';
import { camelCase } from '../dist/options/option.js';
import { options } from '../dist/options/table.js';

const path = new URL('../src/options/values.ts', import.meta.url);
const settings = { ...(await resolveConfig(path)), parser: 'typescript' };
const text = await format(optionValues(), settings);
if (!process.argv.includes('--check')) await writeFile(path, text);
else if (text !== (await readFile(path, 'utf8')))
  throw new Error('src/options/values.ts is out of date: npm run build && npm run docs && npm run build');

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
`;
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
