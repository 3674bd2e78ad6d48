// Flags. The command line's spellings, brought to one: --learning_rate and --learningRate become --learning-rate, and a switch, which may stand alone, be followed by true or false, or be turned round by --no-, becomes --switch=true|false.
import { UsageError } from '../util/errors.js';
import type { Command } from './commands.js';
import { camelCase, kebabCase } from './option.js';
import { understand } from './resolve.js';
import { options } from './table.js';

/** A flag as commander knows it. `contrary`: written with --no-, so that its truth value is turned round. */
interface Flag {
  readonly name: string;
  readonly arity: 'one' | 'switch' | 'many' | 'optional';
  readonly contrary: boolean;
  /** After "needs a value": which one. */
  readonly what: string;
}

/**
 * The arguments of a command in commander's spelling.
 *
 * @param args what follows `bertune train` on the command line
 * @throws UsageError for a flag that nobody knows, one of another command, and one without the value that it needs
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

function findFlag(written: string, command: Command): Flag {
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

function truth(said: string, { contrary }: Flag): string {
  const plain = /^(true|false)$/i.test(said) ? said.toLowerCase() : said;
  if (!contrary) return plain;
  if (plain === 'true') return 'false';
  return plain === 'false' ? 'true' : plain;
}

/**
 * A message of the library, which names options as scripts write them, for those who write flags: `learningRate is 0`
 * becomes `--learning-rate is 0`. Names of one word are left alone, as they may be meant as words, and so is what stands in
 * quotes or paths, as it is somebody's data.
 */
export function asFlags(message: string): string {
  return message.replace(CAMEL_CASE, (name) => `--${kebabCase(name)}`);
}

const CAMEL_CASE = new RegExp(
  `(?<![\\w./"'-])(?:${Object.keys(options)
    .filter((name) => /[A-Z]/.test(name))
    .join('|')})(?![\\w/"'-]|\\.\\w)`,
  'g',
);
