// npm run docs: writes what the documentation takes from the source: docs/options.md from the option table, and docs/api
// from the comments of the public API. `--check` writes nothing, and fails where they are out of date.
import { mkdtemp, readFile, readdir, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { format, resolveConfig } from 'prettier';
import { Application, Comment, CommentTag, Converter } from 'typedoc';
import { commands, optionsMarkdown, trainCommand } from '../dist/options/index.js';

const root = fileURLToPath(new URL('..', import.meta.url));
const optionsPath = join(root, 'docs', 'options.md');
const apiPath = join(root, 'docs', 'api');

/**
 * Topics of the API reference, in its order, by folders of src/.
 *
 * @type {Record<string, string>}
 */
const TOPICS = {
  models: 'Models',
  onnx: 'Models',
  tokenizer: 'Tokenizers',
  data: 'Data',
  training: 'Training',
  options: 'Training',
  evaluation: 'Evaluation and prediction',
  scoring: 'Evaluation and prediction',
  serving: 'Evaluation and prediction',
  tasks: 'Tasks and metrics',
  native: 'Sessions',
  hub: 'Hub, errors, output',
  publishing: 'Hub, errors, output',
  util: 'Hub, errors, output',
  terminal: 'Hub, errors, output',
};

if (process.argv.includes('--check')) await check();
else {
  await writeFile(optionsPath, await optionsPage());
  await rm(apiPath, { recursive: true, force: true });
  await writeApi(apiPath);
}

async function check() {
  const fresh = await mkdtemp(join(tmpdir(), 'bertune-docs-'));
  try {
    await writeApi(fresh);
    const outdated = await differences(fresh, apiPath);
    if ((await optionsPage()) !== (await readFile(optionsPath, 'utf8'))) outdated.push('docs/options.md');
    for (const name of outdated) process.stderr.write(`${name} is out of date: npm run docs\n`);
    process.exitCode = outdated.length === 0 ? 0 : 1;
  } finally {
    await rm(fresh, { recursive: true });
  }
}

/** The text of docs/options.md with today's tables between its marks. */
async function optionsPage() {
  const [begin, end] = ['<!-- options: npm run docs -->\n', '<!-- end of options -->'];
  const text = await readFile(optionsPath, 'utf8');
  const from = text.indexOf(begin) + begin.length;
  const to = text.indexOf(end);
  if (from < begin.length || to < from)
    throw new Error('docs/options.md has lost the marks around its tables');
  const whole = `${text.slice(0, from)}\n${optionTables()}\n${text.slice(to)}`;
  return format(whole, { ...(await resolveConfig(optionsPath)), parser: 'markdown' });
}

/** All options of `train`, and of each other command those that `train` lacks. */
function optionTables() {
  const sections = commands.map((command) => {
    if (command === trainCommand) return `## train\n\n${optionsMarkdown(command)}`;
    const all = Object.entries(command.options);
    const own = all.filter(([name]) => !(name in trainCommand.options));
    const shared = all.length - own.length;
    const tables = optionsMarkdown({ ...command, options: Object.fromEntries(own) });
    return `## ${command.name}\n\n${command.summary} \`${command.name} --help\` lists all its options: ${shared} of those above${own.length > 0 ? ', and:' : '.'}\n\n${tables}`;
  });
  return sections.join('\n');
}

/**
 * The API reference: a page for each export of src/index.ts.
 *
 * @param {string} directory where it is written
 */
async function writeApi(directory) {
  const settings = {
    plugin: ['typedoc-plugin-markdown'],
    entryPoints: [join(root, 'src', 'index.ts')],
    tsconfig: join(root, 'tsconfig.json'),
    name: 'bertune',
    readme: 'none',
    disableSources: true, // line numbers would put every page out of date with every commit
    excludePrivate: true,
    excludeInternal: true,
    validation: { notExported: false, invalidLink: true, invalidPath: true, rewrittenLink: true },
    logLevel: /** @type {const} */ ('Warn'),
    categorizeByGroup: false,
    categoryOrder: Object.values(TOPICS),
    // Of the plugin.
    hideBreadcrumbs: true,
    hidePageHeader: true,
    useCodeBlocks: true,
    parametersFormat: 'table',
  };
  const application = await Application.bootstrapWithPlugins(settings);
  application.converter.on(Converter.EVENT_RESOLVE_BEGIN, ({ project }) => categorize(project));
  const project = await application.convert();
  if (project === undefined) throw new Error('src/index.ts does not compile: npm run build');
  application.validate(project);
  if (application.logger.hasErrors() || application.logger.hasWarnings())
    throw new Error('The comments of the API have the faults above');
  await application.outputs.writeOutput({ name: 'markdown', path: directory }, project);
  await rm(join(directory, '.nojekyll'), { force: true });
}

/**
 * Puts each export under the topic of the folder that it is declared in.
 *
 * @param {import('typedoc').ProjectReflection} project
 */
function categorize(project) {
  for (const reflection of project.children ?? []) {
    const path = project.getSymbolIdFromReflection(reflection)?.packagePath ?? '';
    const topic = TOPICS[path.split('/')[1] ?? ''] ?? 'Other';
    reflection.comment ??= new Comment();
    reflection.comment.blockTags.push(new CommentTag('@category', [{ kind: 'text', text: topic }]));
  }
}

/**
 * @param {string} fresh
 * @param {string} present
 * @returns {Promise<string[]>} the files below docs/api that differ, or that only one side has
 */
async function differences(fresh, present) {
  const names = new Set([...(await filesIn(fresh)), ...(await filesIn(present))]);
  const compared = await Promise.all(
    [...names].toSorted().map(async (name) => {
      const [ours, theirs] = await Promise.all(
        [fresh, present].map((directory) => readFile(join(directory, name), 'utf8').catch(() => null)),
      );
      return ours === theirs ? [] : [`docs/api/${name}`];
    }),
  );
  return compared.flat();
}

/** @param {string} directory */
async function filesIn(directory) {
  const entries = await readdir(directory, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(directory.length + 1));
}
