// What an editor shows for an option, and that the types of options are those of the table.
import { readFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import tap from 'tap';
import ts from 'typescript';
import { trainerCommand } from '../../dist/options/commands.js';
import type { Option } from '../../dist/options/option.js';
import type { options } from '../../dist/options/table.js';
import type { OptionValues } from '../../dist/options/values.js';

type Same<A, B> = [A, B] extends [B, A] ? true : false;
type OfTable = {
  [K in keyof typeof options]: (typeof options)[K] extends Option<infer T> ? T : never;
};
const isSame: Same<OptionValues, OfTable> = true;

const file = fileURLToPath(new URL('../fixtures/hover-example.ts', import.meta.url));
const index = fileURLToPath(new URL('../../dist/index.d.ts', import.meta.url));

await tap.test('trainingArguments shows sentence, range and default of each option', async (t) => {
  t.ok(isSame, 'the compiler has compared all types');
  const names = Object.keys(trainerCommand.options);
  const text = `import { trainingArguments } from ${JSON.stringify(index.replace('.d.ts', '.js'))};
trainingArguments({ ${names.map((name) => `${name}: undefined as never`).join(', ')} });
`;
  const shown = hovers(text);
  for (const [name, { help, fallback }] of Object.entries(trainerCommand.options)) {
    const hover = shown(`${name}:`);
    const [words = ''] = help.slice(1).split(' --');
    t.ok(hover.documentation.includes(words), `${name}: ${hover.documentation}`);
    t.match(hover.signature, `(property) ${name}`);
    if (typeof fallback === 'number' || typeof fallback === 'string')
      t.match(hover.documentation, /Default: `.+`\.$/, `${name} has its default`);
  }
  const { documentation, signature } = shown('learningRate:');
  t.equal(documentation, 'Peak learning rate. A number above 0. Default: `5e-5`.');
  t.match(signature, 'number');
});

/** The editor's answer at the place of some words in a file of that text. */
function hovers(text: string): (words: string) => { signature: string; documentation: string } {
  const settings: ts.CompilerOptions = {
    target: ts.ScriptTarget.ES2023,
    module: ts.ModuleKind.NodeNext,
    strict: true,
    exactOptionalPropertyTypes: true,
    types: ['node'],
  };
  const service = ts.createLanguageService({
    getCompilationSettings: () => settings,
    getScriptFileNames: () => [file],
    getScriptVersion: () => '1',
    getScriptSnapshot: (name) => {
      const content = name === file ? text : ts.sys.fileExists(name) ? readFileSync(name, 'utf8') : undefined;
      return content === undefined ? undefined : ts.ScriptSnapshot.fromString(content);
    },
    getCurrentDirectory: () => fileURLToPath(new URL('../..', import.meta.url)),
    getDefaultLibFileName: (own) => ts.getDefaultLibFilePath(own),
    fileExists: (name) => name === file || ts.sys.fileExists(name),
    readFile: (name) => ts.sys.readFile(name),
    directoryExists: (name) => ts.sys.directoryExists(name),
  });
  return (words) => {
    const info = service.getQuickInfoAtPosition(file, text.indexOf(` ${words}`) + 1);
    return {
      signature: ts.displayPartsToString(info?.displayParts ?? []),
      documentation: ts.displayPartsToString(info?.documentation ?? []),
    };
  };
}
