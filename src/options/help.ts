// The option table as commander options for `--help`, and as Markdown tables for README.md and docs/options.md.
import { Option as Flag } from 'commander';
import type { Command } from './commands.js';
import { foreignNames } from './hf-arguments.js';
import { groups, kebabCase, type Group, type Option } from './option.js';

/** The flags of a command, grouped for its help; the names of other tools are taken but not shown. */
export function commandFlags(command: Command): Flag[] {
  const own = groups.flatMap((group) =>
    optionsOf(command, group).map(([name, option]) =>
      new Flag(flagTerm(name, option), describe(option)).helpGroup(`${group}:`),
    ),
  );
  // Not noCuda: commander would take its flag for the contrary of --cuda. argv.ts turns it into --use-cpu.
  const foreign = foreignNames().filter((name) => name !== 'noCuda');
  return [...own, ...foreign.map((name) => new Flag(`--${kebabCase(name)} <value>`).hideHelp())];
}

/** The options of a command as Markdown, one table a group. */
export function optionsMarkdown(command: Command): string {
  return groups
    .map((group) => ({ group, rows: optionsOf(command, group) }))
    .filter(({ rows }) => rows.length > 0)
    .map(({ group, rows }) => `### ${group}\n\n${markdownTable(rows)}`)
    .join('\n');
}

/** A few of them as one Markdown table, in the order of their names in the list. */
export function optionsTable(command: Command, names: readonly string[]): string {
  const all = groups.flatMap((group) => optionsOf(command, group));
  return markdownTable(names.flatMap((name) => all.filter(([own]) => own === name)));
}

function markdownTable(options: readonly [string, Option][]): string {
  const rows = options.map(([name, option]) => {
    const cells = [code(flagTerm(name, option, false)), defaultOf(option), meaning(option)];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return `| Option | Default | Meaning |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

function optionsOf(command: Command, group: Group): [string, Option][] {
  return Object.entries(command.options).filter(([, option]) => option.group === group);
}

/** `--eval-steps <N>`; a switch is shown bare, although argv.ts always gives it a value. */
function flagTerm(name: string, { kind }: Option, brackets = true): string {
  const flag = `--${kebabCase(name)}`;
  if (kind.arity === 'switch') return brackets ? `${flag} <true|false>` : flag;
  if (!brackets) return `${flag} ${kind.placeholder}`;
  return kind.arity === 'optional' ? `${flag} [${kind.placeholder}]` : `${flag} <${kind.placeholder}>`;
}

/** What commander shows for a flag: switches without their value. */
export function shownTerm(flag: Flag): string {
  return flag.flags.replace(' <true|false>', '');
}

function describe(option: Option): string {
  const fallback = defaultText(option);
  const parts = [option.kind.words?.join(', '), fallback && `default: ${fallback}`].filter(
    (part) => part !== undefined,
  );
  const facts = parts.filter((part) => part !== '').join('; ');
  return facts === '' ? option.help : `${option.help} (${facts})`;
}

function meaning({ help, kind }: Option): string {
  return kind.words ? `${help}: ${kind.words.map(code).join(', ')}` : help;
}

function defaultOf(option: Option): string {
  const { fallback } = option;
  return option.otherwise === undefined && fallback !== undefined && defaultText(option) !== ''
    ? code(defaultText(option))
    : defaultText(option);
}

function defaultText({ fallback, otherwise }: Option): string {
  if (otherwise !== undefined) return otherwise;
  if (fallback === undefined || fallback === false || Array.isArray(fallback)) return '';
  // 5e-5 rather than 0.00005
  if (typeof fallback === 'number')
    return fallback > 0 && fallback < 1e-3 ? fallback.toExponential() : String(fallback);
  return typeof fallback === 'string' ? fallback : '';
}

function code(text: string): string {
  return `\`${text}\``;
}
