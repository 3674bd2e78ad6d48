// The documentation is true where that can be checked: commands are understood, TypeScript compiles, links lead somewhere, figures
// of speed are measured ones. test/tooling/docs.ts runs the commands.
import { existsSync, readdirSync, readFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import t from 'tap';
import ts from 'typescript';

import { commands } from '../dist/options/index.js';
import { OPTION_NAMES } from '../scripts/bench/options.mjs';
import { blocksOf, commandsOf, pages, pageText, parseCommand, repositoryFile } from './fixtures/docs.js';

/** Scripts of package.json that are no commands of bertune. */
const scripts = new Set(
  Object.keys(JSON.parse(readFileSync(repositoryFile('package.json'), 'utf8')).scripts),
);
for (const { name } of commands) scripts.delete(name);

const compilerOptions: ts.CompilerOptions = {
  target: ts.ScriptTarget.ES2023,
  lib: ['lib.es2023.d.ts'],
  module: ts.ModuleKind.NodeNext,
  types: ['node'],
  strict: true,
  noUncheckedIndexedAccess: true,
  exactOptionalPropertyTypes: true,
  skipLibCheck: true,
  noEmit: true,
};

const publicSymbols = readPublicSymbols();

t.test('every command is understood', async (t) => {
  for (const page of pages) {
    const blocks = blocksOf(page);
    const files = new Map(blocks.flatMap(({ file, code }) => (file === undefined ? [] : [[file, code]])));
    for (const { language, code, line } of blocks.filter(({ file }) => file === undefined)) {
      if (!['bash', ''].includes(language)) continue;
      for (const command of commandsOf(code)) {
        const [name = '', ...words] = command;
        if (name === 'bench')
          for (const option of words.filter((word) => word.startsWith('--')))
            t.ok(OPTION_NAMES.includes(option.slice(2)), `${page}:${line} ${option}`);
        if (scripts.has(name)) continue;
        t.doesNotThrow(() => parseCommand(command, files), `${page}:${line} ${command.join(' ')}`);
      }
    }
  }
});

t.test('a wrong command is found', (t) => {
  const words = commandsOf(
    "HF_HUB_OFFLINE=1 npm run -s train -- \\\n  --train-file 'my rows.csv' | tee log  # all",
  );
  t.strictSame(words, [['train', '--train-file', 'my rows.csv']]);
  t.throws(() => parseCommand(['train', '--learnin-rate', '1'], new Map()), /did you mean --learning-rate/);
  t.throws(
    () => parseCommand(['train', 'run.yaml'], new Map([['run.yaml', 'learnin_rate: 1']])),
    /did you mean learning_rate/,
  );
  t.end();
});

t.test('TypeScript compiles: that of the pages, and the examples of the public API', (t) => {
  const sources = new Map<string, string>();
  for (const page of pages)
    for (const { language, code, line } of blocksOf(page))
      if (language === 'ts') sources.set(`${page.replaceAll('/', '-')}-${line}.mts`, code);
  // Numbers, since names that differ only in case are one file to the compiler.
  for (const [i, { name, code }] of examples().entries()) sources.set(`example-${i}-${name}.mts`, code);
  const problems = compile(sources);
  t.strictSame(problems, []);
  t.match(compile(new Map([['wrong.mts', "import { Trainer } from 'bertune';\nnew Trainer(1);\n"]])), [
    /wrong.mts:2/,
  ]);
  t.end();
});

t.test('every export has an example', (t) => {
  const documented = new Set(examples().map(({ name }) => name));
  t.strictSame(
    [...publicSymbols.keys()].filter((name) => !documented.has(name)),
    [],
  );
  t.end();
});

t.test('links lead to files and headings', (t) => {
  const others = ['CONTRIBUTING.md', 'SECURITY.md', 'CHANGELOG.md'];
  for (const page of [...pages, ...others])
    for (const [, target = ''] of pageText(page).matchAll(/\]\((?!https?:)([^)\s]+)\)/g)) {
      const [path = '', heading] = target.split('#');
      const file = path === '' ? page : join(dirname(page), path);
      const isThere = existsSync(repositoryFile(file));
      t.ok(isThere && (heading === undefined || anchors(pageText(file)).has(heading)), `${page}: ${target}`);
    }
  t.end();
});

t.test('the README is one screen after another, not a book', (t) => {
  const text = pageText('README.md');
  const lines = text.trimEnd().split('\n');
  t.ok(lines.length <= 145, `${lines.length} lines`);
  t.match(lines.slice(0, 8).join('\n'), /Linux on x86-64/);
  t.match(text, /`npm test`[^]{0,200}`N passed, N failed`/);
  const paragraphs = text.replaceAll(/^```[^]*?^```$/gm, '').split(/\n{2,}|\n(?=- )/);
  for (const paragraph of paragraphs.filter((each) => !/^[|<]/.test(each)))
    t.ok(paragraph.split('\n').length <= 4, paragraph.slice(0, 60));
  t.end();
});

t.test('figures of speed are those of docs/measurements.md', (t) => {
  const measured = new Set(pageText('docs/measurements.md').match(/\d+(?:[.,]\d+)*/g));
  for (const page of ['README.md', 'docs/performance.md'])
    for (const [, figure = ''] of pageText(page).matchAll(/\b(\d[\d.,]*)(?:x|×| times| tokens)/g))
      t.ok(measured.has(figure), `${page}: ${figure}`);
  t.end();
});

t.test('messages that troubleshooting explains are in the source', (t) => {
  const files = ['src', 'native', 'scripts'].flatMap((folder) =>
    readdirSync(repositoryFile(folder), { recursive: true, encoding: 'utf8' })
      .filter((name) => /\.(ts|mjs|cc|h)$/.test(name))
      .map((name) => readFileSync(repositoryFile(join(folder, name)), 'utf8')),
  );
  // Literals that are joined over lines are one.
  const source = files.join('\n').replaceAll(/['"`] \+\s+['"`]/g, '');
  const messages = [...pageText('docs/troubleshooting.md').matchAll(/^#+ `(.+)`$/gm)];
  t.ok(messages.length > 10, `${messages.length} messages`);
  for (const [, message = ''] of messages)
    for (const part of message.split('...')) t.ok(source.includes(part.trim()), `${message}: ${part}`);
  t.end();
});

/** The `@example`s of the exports: the name of the export and the code. */
function examples(): { name: string; code: string }[] {
  return [...publicSymbols].flatMap(([name, declarations]) =>
    declarations
      .flatMap((declaration) => ts.getJSDocTags(declaration))
      .filter((tag) => tag.tagName.text === 'example')
      .flatMap((tag) => {
        const [, code] = /```ts\n([^]*?)```/.exec(ts.getTextOfJSDocComment(tag.comment) ?? '') ?? [];
        return code === undefined ? [] : [{ name, code }];
      }),
  );
}

/** The exports of src/index.ts with what declares them. */
function readPublicSymbols(): Map<string, ts.Node[]> {
  const entry = repositoryFile('dist/index.d.ts');
  const program = ts.createProgram([entry], compilerOptions);
  const checker = program.getTypeChecker();
  const file = program.getSourceFile(entry);
  const module = file && checker.getSymbolAtLocation(file);
  if (module === undefined) throw new Error('dist/index.d.ts is missing: npm run build');
  return new Map(
    checker.getExportsOfModule(module).map((symbol) => {
      const target = symbol.flags & ts.SymbolFlags.Alias ? checker.getAliasedSymbol(symbol) : symbol;
      return [symbol.name, target.declarations ?? []];
    }),
  );
}

/**
 * @param sources by file name, each a module in the root of the repository, where `bertune` is this package
 * @returns one line a problem
 */
function compile(sources: ReadonlyMap<string, string>): string[] {
  const files = new Map([...sources].map(([name, code]) => [repositoryFile(name), code]));
  const host = ts.createCompilerHost(compilerOptions);
  const readFile = (path: string): string | undefined => files.get(path) ?? host.readFile(path);
  const program = ts.createProgram([...files.keys()], compilerOptions, {
    ...host,
    readFile,
    fileExists: (path) => files.has(path) || host.fileExists(path),
    getSourceFile: (path, options) => {
      const text = readFile(path);
      return text === undefined ? undefined : ts.createSourceFile(path, text, options);
    },
  });
  return ts.getPreEmitDiagnostics(program).map(({ file, start = 0, messageText }) => {
    const { line } = file?.getLineAndCharacterOfPosition(start) ?? { line: 0 };
    const name = file?.fileName.slice(repositoryFile('').length);
    return `${name}:${line + 1} ${ts.flattenDiagnosticMessageText(messageText, ' ')}`;
  });
}

/** GitHub's anchors of the headings. */
function anchors(text: string): Set<string> {
  const headings = text.replaceAll(/^```[^]*?^```$/gm, '').matchAll(/^#+ (.+)$/gm);
  return new Set(
    [...headings].map(([, heading = '']) =>
      heading
        .toLowerCase()
        .replaceAll(/[^\p{L}\p{N} _-]/gu, '')
        .replaceAll(' ', '-'),
    ),
  );
}
