// Options as flags: how the command line spells and reads them, shows them in `--help` and in messages; and as Markdown tables
// for README.md and docs/options.md.
import { Option as Flag } from 'commander';
import { UsageError } from '../util/errors.js';
import type { Command } from './commands.js';
import { foreignNames } from './hf-arguments.js';
import { camelCase, groups, kebabCase, type Group, type Option } from './option.js';
import { understand } from './resolve.js';
import { options } from './table.js';

/** A flag as it is written. `contrary`: written with --no-, so that its truth value is turned round. */
interface Written {
  readonly name: string;
  readonly arity: 'one' | 'switch' | 'many' | 'optional';
  readonly contrary: boolean;
  /** After "needs a value": which one. */
  readonly what: string;
}

/**
 * The arguments of a command in commander's spelling: --learning_rate and --learningRate are --learning-rate, and a switch,
 * which may stand alone, be followed by true or false, or be negated by --no-, is --switch=true|false.
 *
 * @param args what follows `bertune train` on the command line
 * @throws UsageError for an unknown flag, one of another command, and one without the value that it needs
 */
export function normalizeArgs(args: readonly string[], command: Command): string[] {
  const result: string[] = [];
  for (let i = 0; i < args.length; i++) {
    const arg = args[i] ?? '';
    const next = args[i + 1];
    const [, written, value] = /^--([A-Za-z][\w-]*)(?:=([^]*))?$/.exec(arg) ?? [];
    if (written === undefined || written === 'help') {
      result.push(arg);
      continue;
    }
    const flag = findFlag(written, command);
    if (flag.arity === 'switch') {
      const takesNext = value === undefined && next !== undefined && /^(true|false)$/i.test(next);
      if (takesNext) i++;
      result.push(`--${flag.name}=${truth(value ?? (takesNext ? next : 'true'), flag)}`);
      continue;
    }
    const isBare = value === undefined && (next === undefined || /^--[A-Za-z]/.test(next));
    if (isBare && flag.arity !== 'optional') throw new UsageError(`--${written} needs a value${flag.what}`);
    result.push(value === undefined ? `--${flag.name}` : `--${flag.name}=${value}`);
  }
  return result;
}

function findFlag(written: string, command: Command): Written {
  // Commander itself would read --no-cuda as the contrary of an option --cuda.
  if (camelCase(written) === 'noCuda') return { name: 'use-cpu', arity: 'switch', contrary: false, what: '' };
  const [, positive] = /^no(?:[-_]|(?=[A-Z]))(.+)$/.exec(written) ?? [];
  const turned = positive === undefined ? undefined : switchOf(positive, command);
  if (turned !== undefined) return { name: turned, arity: 'switch', contrary: true, what: '' };

  const { own, foreign } = understand({ written, name: `--${written}`, at: '', isText: true }, command);
  if (own !== undefined) {
    const { arity, what } = options[own].kind;
    return { name: kebabCase(own), arity, contrary: false, what: `: ${what}` };
  }
  const arity = foreign.isSwitch ? 'switch' : 'one';
  return { name: kebabCase(camelCase(written)), arity, contrary: false, what: '' };
}

/** The name of the command's own switch that is written so, if there is one. */
function switchOf(written: string, command: Command): string | undefined {
  const name = camelCase(written);
  const option = command.options[name];
  return option?.kind.arity === 'switch' ? kebabCase(name) : undefined;
}

function truth(written: string, { contrary }: Written): string {
  const plain = /^(true|false)$/i.test(written) ? written.toLowerCase() : written;
  if (!contrary) return plain;
  if (plain === 'true') return 'false';
  return plain === 'false' ? 'true' : plain;
}

/**
 * A message of the library, which names options as scripts write them, for those who write flags: `learningRate is 0`
 * becomes `--learning-rate is 0`. Names of one word are mostly left alone, as they may be meant as words, and so is what is in
 * quotes, backticks or paths: it is somebody's data, or code.
 */
export function asFlags(message: string): string {
  return message
    .replace(CAMEL_CASE, (name) => `--${kebabCase(name)}`)
    .replace(WITH_ONE_WORD, (phrase) => phrase.replace('with ', 'with --'));
}

/** Options of one word are those that stand in these words, with a value. */
const WITH_ONE_WORD = /(?<!["'`])\bwith (?:encoding|escape|quoting) \S/g;

const CAMEL_CASE = new RegExp(
  `(?<![\\w./"'\`-])(?:${Object.keys(options)
    .filter((name) => /[A-Z]/.test(name))
    .join('|')})(?![\\w/"'\`-]|\\.\\w)`,
  'g',
);

/** The flags of a command, grouped for its help; the names of other tools are taken but not shown. */
export function commandFlags(command: Command): Flag[] {
  const own = groups.flatMap((group) =>
    optionsOf(command, group).map(([name, option]) =>
      new Flag(flagTerm(name, option), describe(option)).helpGroup(`${group}:`),
    ),
  );
  // Not noCuda: commander would take its flag for the contrary of --cuda. `normalizeArgs` turns it into --use-cpu.
  const foreign = foreignNames().filter((name) => name !== 'noCuda' && !Object.hasOwn(command.options, name));
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

function markdownTable(listed: readonly [string, Option][]): string {
  const rows = listed.map(([name, option]) => {
    const cells = [code(flagTerm(name, option, false)), defaultOf(option), meaning(option)];
    return `| ${cells.map((cell) => cell.replaceAll('|', '\\|')).join(' | ')} |`;
  });
  return `| Option | Default | Meaning |\n| --- | --- | --- |\n${rows.join('\n')}\n`;
}

function optionsOf(command: Command, group: Group): [string, Option][] {
  return Object.entries(command.options).filter(([, option]) => option.group === group);
}

/** `--eval-steps <N>`; a switch is shown bare, although `normalizeArgs` always gives it a value. */
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

/** The default as help and documentation show it; empty where it goes without saying. */
export function defaultText({ fallback, otherwise }: Option): string {
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
