// `npm run train --model x`, without `--` before the options: npm takes them as its own settings and passes only `x` on.
import { SetupError } from './errors.mjs';

/** Settings of npm itself, whether or not they were meant for the script. */
const NPM_SETTINGS = new Set(['json', 'verbose', 'help', 'log-level']);

/**
 * Whether npm may have taken options: it ran the script, and none arrived. Where one did, what npm took may have been meant
 * for another script that called this one.
 *
 * @param {string} script as in `npm run script`
 * @param {readonly string[]} args what arrived
 * @param {NodeJS.ProcessEnv} env
 */
export function mayLackOptions(script, args, env = process.env) {
  return env['npm_lifecycle_event'] === script && !args.some((arg) => arg.startsWith('-'));
}

/**
 * Refuses a command whose options npm took, instead of running without them.
 *
 * @param {string} script as in `npm run script`
 * @param {readonly string[]} args what arrived
 * @param {readonly string[]} names the options that the script knows, in camelCase or kebab-case
 * @param {NodeJS.ProcessEnv} env
 * @throws {SetupError} (exit code 2) with the command to type
 */
export function refuseOptionsTakenByNpm(script, args, names, env = process.env) {
  if (!mayLackOptions(script, args, env)) return;
  const taken = names.flatMap((name) => {
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const value = env[`npm_config_${flag.replaceAll('-', '_')}`] ?? env[`npm_config_${name.toLowerCase()}`];
    return value === undefined || NPM_SETTINGS.has(flag) ? [] : [{ flag: `--${flag}`, value }];
  });
  if (taken.length === 0) return;
  throw new SetupError(
    `npm took ${taken.map(({ flag }) => flag).join(', ')} as its own: put -- before the options. Type:\n` +
      `  npm run ${script} -- ${retyped(taken, args)}`,
    2,
  );
}

/**
 * The command line as it was typed, as far as it can be known: of `--model x` npm makes `true`, and passes `x` on.
 *
 * @param {readonly { flag: string, value: string }[]} taken
 * @param {readonly string[]} args
 */
function retyped(taken, args) {
  const flags = taken.map((one) => (isBare(one) ? one.flag : `${one.flag}=${quoted(one.value)}`));
  if (args.length === 0) return flags.join(' ');
  const [only = ''] = args;
  // A configuration file may be the option's value or an argument of its own.
  const belongs =
    args.length === 1 && taken.length === 1 && taken.every(isBare) && !/\.(json|ya?ml)$/.test(only);
  if (belongs) return `${flags.join(' ')} ${quoted(only)}`;
  return '...\nwith your arguments in place of the dots.';
}

/** @param {{ value: string }} option */
function isBare({ value }) {
  return value === 'true' || value === '';
}

/** @param {string} text for a shell */
function quoted(text) {
  return /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
