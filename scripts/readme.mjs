// Keeps the option table of README.md equal to the one in src/config/options.ts. `--check` only says whether it is.
import { readFileSync, writeFileSync } from 'node:fs';

import { format, resolveConfig } from 'prettier';

import { optionsMarkdown, trainCommand } from '../dist/config/index.js';

const path = new URL('../README.md', import.meta.url);
const [begin, end] = ['<!-- options: npm run readme -->\n', '<!-- end of options -->'];
const text = readFileSync(path, 'utf8');
const from = text.indexOf(begin) + begin.length;
const to = text.indexOf(end);
if (from < begin.length || to < from) throw new Error('README.md has lost the marks around its option table');

const table = `${text.slice(0, from)}\n${optionsMarkdown(trainCommand)}\n${text.slice(to)}`;
const updated = await format(table, { ...(await resolveConfig(path)), parser: 'markdown' });
if (!process.argv.includes('--check')) writeFileSync(path, updated);
else if (updated !== text) throw new Error('The option table of README.md is out of date: npm run readme');
