// `npm run train --model x`, without `--` before the options: npm keeps them as settings of its own and passes on `x`.
import { SetupError } from './errors.mjs';

/** What npm takes for its own everywhere, whether or not it was meant for the script. */
const NPMS_OWN = new Set(['json', 'verbose', 'help', 'log-level']);

/**
 * Refuses a command whose options stayed with npm, instead of running without them. Where an option did arrive, nothing is
 * said: what npm kept may have been meant for another script that called this one.
 *
 * @param {string} script as in `npm run script`
 * @param {readonly string[]} args what arrived
 * @param {readonly string[]} names the options that the script knows, in camelCase or kebab-case
 * @param {NodeJS.ProcessEnv} env
 * @throws {SetupError} (exit code 2) that says what to type
 */
export function refuseKeptByNpm(script, args, names, env = process.env) {
  if (env['npm_lifecycle_event'] !== script || args.some((arg) => arg.startsWith('-'))) return;
  const kept = names.flatMap((name) => {
    const flag = name.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`);
    const value = env[`npm_config_${flag.replaceAll('-', '_')}`] ?? env[`npm_config_${name.toLowerCase()}`];
    return value === undefined || NPMS_OWN.has(flag) ? [] : [{ flag: `--${flag}`, value }];
  });
  if (kept.length === 0) return;
  throw new SetupError(
    `npm kept ${kept.map(({ flag }) => flag).join(', ')} for itself: options go behind a -- that stands alone. Type:\n` +
      `  npm run ${script} -- ${retyped(kept, args)}`,
    2,
  );
}

/**
 * What stood on the command line, as far as it can be known: of `--model x` npm makes `true`, and leaves `x` where it was.
 *
 * @param {readonly { flag: string, value: string }[]} kept
 * @param {readonly string[]} args
 */
function retyped(kept, args) {
  const flags = kept.map((one) => (isBare(one) ? one.flag : `${one.flag}=${quoted(one.value)}`));
  if (args.length === 0) return flags.join(' ');
  const [only = ''] = args;
  // A configuration file may be the option's value or may stand for itself.
  const belongs =
    args.length === 1 && kept.length === 1 && kept.every(isBare) && !/\.(json|ya?ml)$/.test(only);
  if (belongs) return `${flags.join(' ')} ${quoted(only)}`;
  return '...\nwith all that stood behind the name of the script in place of the dots.';
}

/** @param {{ value: string }} kept */
function isBare({ value }) {
  return value === 'true' || value === '';
}

/** @param {string} text for a shell */
function quoted(text) {
  return /^[\w./:=@%+,-]+$/.test(text) ? text : `'${text.replaceAll("'", `'\\''`)}'`;
}
