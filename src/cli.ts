#!/usr/bin/env node
// The command line: arguments to options, options to a command, a failure to one line and an exit code. No logic.
import { existsSync, statSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import { inspect } from 'node:util';
import { Command, CommanderError } from 'commander';
import { requireAlone } from './distributed/alone.js';
import { OF_LAUNCHER } from './distributed/launch.js';
import {
  asFlags,
  commandFlags,
  commands,
  evaluateCommand,
  exportCommand,
  initCommand,
  inspectCommand,
  isShareable,
  mergeCommand,
  normalizeArgs,
  OptionsError,
  parseEvaluateOptions,
  parseExportOptions,
  parseInitOptions,
  parseInspectOptions,
  parseMergeOptions,
  parsePredictOptions,
  parseServeOptions,
  parsePushOptions,
  parseTrainOptions,
  predictCommand,
  pushCommand,
  parseReportOptions,
  reportCommand,
  readConfigFile,
  searchCommand,
  serveCommand,
  shownTerm,
  trainCommand,
  type Command as CommandTable,
  type ParsedOptions,
} from './options/index.js';
import { commandLine, isCheckout, packageVersion, shellWord } from './util/installation.js';
import { StoppedError, UsageError, exitCodeOf, messageOf, writeError } from './util/errors.js';

type Flags = Record<string, unknown>;

const root = new URL('../', import.meta.url);
const quickstart = fileURLToPath(new URL('configs/quickstart.json', root));

await main(process.argv.slice(2));

async function main(argv: readonly string[]): Promise<void> {
  // A reader that goes away (`| head`) ends the output, not the run.
  for (const stream of [process.stdout, process.stderr]) stream.on('error', ignoreClosedPipe);
  const [name, ...args] = argv;
  const table = commands.find((command) => command.name === name);
  try {
    const normal = table ? [table.name, ...normalizeArgs(args, table)] : argv;
    await program().parseAsync(normal, { from: 'user' });
  } catch (error) {
    fail(error, argv.includes('--verbose'));
  }
}

function program(): Command {
  const cli = new Command('bertune')
    .description('Fine-tune BERT-family classifiers, and save them as folders that Hugging Face loads.')
    .version(packageVersion())
    .exitOverride()
    .configureOutput({ outputError: () => undefined })
    .configureHelp({ optionTerm: shownTerm })
    .addHelpText(
      'after',
      `\nThe first command sets up LibTorch and the addon; in advance: ${commandLine('setup')}`,
    );

  addCommand(cli, trainCommand)
    .usage('[config] [options]')
    .argument(
      '[config]',
      'run configuration, .json or .yaml (default: the quickstart, where no model and no data is named)',
    )
    .action(async (config: string | undefined, flags: Flags) => {
      const path = config ?? (namesAJob(flags) ? undefined : quickstartHere());
      const file = path === undefined ? {} : { file: await readConfigFile(path) };
      const options = accepted(parseTrainOptions({ ...file, flags }));
      const { train } = await import('./commands/train.js');
      await train(options);
    });
  takesNoFiles(addCommand(cli, evaluateCommand)).action(async (files: string[], flags: Flags) => {
    requireNoFiles(files, flags, '--validation-file');
    const options = accepted(parseEvaluateOptions({ flags }));
    const { evaluate } = await import('./commands/evaluate.js');
    await evaluate(options);
  });
  takesNoFiles(addCommand(cli, predictCommand)).action(async (files: string[], flags: Flags) => {
    requireNoFiles(files, flags, '--test-file');
    const options = accepted(parsePredictOptions({ flags }));
    const { predict } = await import('./commands/predict.js');
    await predict(options);
  });
  addCommand(cli, searchCommand)
    .usage('<config> [options]')
    .argument('[config]', 'run configuration, .json or .yaml, with ranges in place of some values')
    .action(async (config: string | undefined, flags: Flags) => {
      if (config === undefined)
        throw new UsageError(
          `A search needs a configuration file with ranges in place of some values: ${commandLine('search', 'space.yaml')}`,
        );
      const { readSearch, search } = await import('./commands/search.js');
      await search(readSearch(await readConfigFile(config), flags));
    });
  addCommand(cli, inspectCommand)
    .usage('FILE... [options]')
    .argument('[files...]', 'the training rows, as --train-file')
    .action(async (files: string[], flags: Flags) => {
      const options = accepted(
        parseInspectOptions({ flags: files.length > 0 ? { ...flags, trainFile: files } : flags }),
      );
      const { inspect: inspectData } = await import('./commands/inspect.js');
      await inspectData(options);
    });
  addCommand(cli, initCommand)
    .usage('FILE... [options]')
    .argument('[files...]', 'the training rows, as --train-file')
    .action(async (files: string[], flags: Flags) => {
      const options = accepted(
        parseInitOptions({ flags: files.length > 0 ? { ...flags, trainFile: files } : flags }),
      );
      const { init } = await import('./commands/init.js');
      await init(options);
    });
  addCommand(cli, mergeCommand)
    .usage('ADAPTER --output-dir DIR')
    .argument('[adapter]', 'the folder of the adapter, as --model')
    .allowExcessArguments()
    .action(async (adapter: string | undefined, flags: Flags, { args }: Command) => {
      requireOneArgument(args, 'The folder to write', '--output-dir');
      const options = accepted(
        parseMergeOptions({ flags: adapter === undefined ? flags : { ...flags, model: adapter } }),
      );
      const { merge } = await import('./commands/merge.js');
      await merge(options);
    });
  addCommand(cli, exportCommand)
    .usage('MODEL --output-dir DIR')
    .argument('[model]', 'the folder of the model, as --model')
    .allowExcessArguments()
    .action(async (model: string | undefined, flags: Flags, { args }: Command) => {
      requireOneArgument(args, 'The folder to write', '--output-dir');
      const options = accepted(
        parseExportOptions({ flags: model === undefined ? flags : { ...flags, model } }),
      );
      const { exportModel } = await import('./commands/export.js');
      await exportModel(options);
    });
  addCommand(cli, serveCommand)
    .usage('MODEL [options]')
    .argument('[model]', 'the folder of the model, as --model')
    .action(async (model: string | undefined, flags: Flags) => {
      const options = accepted(
        parseServeOptions({ flags: model === undefined ? flags : { ...flags, model } }),
      );
      const { serve } = await import('./commands/serve.js');
      await serve(options);
    });
  addCommand(cli, pushCommand)
    .usage('MODEL --repo NAME')
    .argument('[model]', 'the folder of the model, as --model')
    .allowExcessArguments()
    .action(async (model: string | undefined, flags: Flags, { args }: Command) => {
      requireOneArgument(args, 'The repository', '--repo');
      const options = accepted(
        parsePushOptions({ flags: model === undefined ? flags : { ...flags, model } }),
      );
      const { push } = await import('./commands/push.js');
      await push(options);
    });
  addCommand(cli, reportCommand)
    .usage('DIR [DIR2] [options]')
    .argument('[runs...]', 'output folders, as --runs')
    .action(async (runs: string[], flags: Flags) => {
      const options = accepted(parseReportOptions({ flags: runs.length === 0 ? flags : { ...flags, runs } }));
      const { report } = await import('./commands/report.js');
      await report(options);
    });
  return cli;
}

function addCommand(cli: Command, table: CommandTable): Command {
  const command = cli.command(table.name).description(table.summary);
  for (const flag of commandFlags(table)) command.addOption(flag);
  if (!isShareable(table)) command.hook('preAction', () => requireAlone(`${table.name} is done`));
  return command;
}

/** Files that are only given by their options: the message says so, where commander would count arguments. */
function takesNoFiles(command: Command): Command {
  return command.usage('[options]').argument('[files...]');
}

/** The model is the only argument; of a second one the message says which option it was meant for. */
function requireOneArgument([, second]: readonly string[], what: string, option: string): void {
  if (second === undefined) return;
  throw new UsageError(`${what} is given with ${option}: ${option} ${shellWord(second)}`);
}

function requireNoFiles(
  words: readonly string[],
  { model }: Flags,
  option: '--test-file' | '--validation-file',
): void {
  if (words.length === 0) return;
  const folder = model === undefined ? words.find(isFolder) : undefined;
  if (folder !== undefined)
    throw new UsageError(`The model is given with --model: --model ${shellWord(folder)}`);
  if (option === '--test-file' && !words.some(namesAFile))
    throw new UsageError(`Texts are given with --text: --text ${shellWord(words.join(' '))}`);
  throw new UsageError(`Rows are given with ${option}: ${option} ${words.map(shellWord).join(' ')}`);
}

function isFolder(word: string): boolean {
  return existsSync(word) && statSync(word).isDirectory();
}

/** Whether there is one of this name, or it is that of standard input, has an ending or is a glob. */
function namesAFile(word: string): boolean {
  return word === '-' || existsSync(word) || /^\S*(?:\*\S*|\.\w+)$/.test(word);
}

/** The configuration of the quickstart, whose model and rows are in the checkout. */
function quickstartHere(): string {
  if (isCheckout()) return quickstart;
  const example = '--model bert-base-uncased --train-file train.csv --output-dir out';
  throw new UsageError(`A training needs a model and rows, e.g. ${commandLine('train', example)}`);
}

/** Whether the flags name a job of their own, so that the quickstart is not meant. */
function namesAJob(flags: Flags): boolean {
  return ['model', 'config', 'trainFile', 'dataset'].some((name) => flags[name] !== undefined);
}

function accepted<T>({ options, notes }: ParsedOptions<T>): T {
  // Processes that were started for this one have the same notes.
  if (process.env[OF_LAUNCHER] === undefined && !(Number(process.env['RANK'] ?? 0) > 0))
    for (const note of notes) process.stderr.write(`note: ${note}\n`);
  return options;
}

/** Ends the process: 2 for the caller's mistake, 1 for a failure, 0 after help and version, 130 or 143 after a signal. */
function fail(error: unknown, verbose: boolean): never {
  if (error instanceof CommanderError) {
    if (error.exitCode === 0) process.exit(0);
    if (error.code !== 'commander.help') log(error.message.replace(/^error: /, '').replace(/\n\(/, ' ('));
    process.exit(2);
  }
  log(error instanceof OptionsError ? error.message : asFlags(messageOf(error)));
  if (verbose && error instanceof Error && !(error instanceof StoppedError))
    process.stderr.write(`${inspect(error)}\n`);
  process.exit(exitCodeOf(error));
}

function log(message: string): void {
  process.stderr.write(`bertune: ${message}\n`);
}

/** A closed pipe is the reader's choice; anything else, such as a full disk, is one line. */
function ignoreClosedPipe(error: NodeJS.ErrnoException): void {
  if (error.code === 'EPIPE') return;
  fail(writeError(error, 'standard output'), false);
}
