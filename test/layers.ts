// Dependencies point one way, as docs/architecture.md says: what stands in a layer imports from the layers below it.
import { readdirSync, readFileSync } from 'node:fs';
import { dirname, join, normalize, relative } from 'node:path';
import t from 'tap';

const SOURCE = join(import.meta.dirname, '../src');

/** From the bottom to the top. */
const LAYERS = [
  ['util'],
  ['native', 'terminal'],
  ['distributed'],
  ['formats', 'hub', 'tasks'],
  ['tokenizer'],
  ['onnx'],
  ['models'],
  ['data'],
  ['evaluation'],
  ['predictions'],
  ['options'],
  ['training', 'scoring', 'serving'],
  ['search', 'inspection', 'publishing', 'report'],
  ['commands'],
  ['cli', 'index'],
];

function layerOf(path: string): number {
  const [top = ''] = path.replace(/\.ts$/, '').split('/');
  return LAYERS.findIndex((layer) => layer.includes(top));
}

function isSameMember(a: string, b: string): boolean {
  return a.includes('/') && b.includes('/') && a.split('/')[0] === b.split('/')[0];
}

/** The files of src that a file imports. */
function importsOf(path: string): string[] {
  const text = readFileSync(join(SOURCE, path), 'utf8');
  const found = text.matchAll(/(?:from|import\(?)\s*'(?<name>\.[^']+)\.js'/g);
  return Array.from(found, ({ groups }) => normalize(join(dirname(path), `${groups?.['name']}.ts`)));
}

t.test('what is above is not imported from below', (t) => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  t.same(
    files.filter((path) => layerOf(path) < 0),
    [],
    'each file has a layer',
  );
  const upward = files.flatMap((path) =>
    importsOf(path)
      .filter((other) => !isSameMember(path, other) && layerOf(other) >= layerOf(path))
      .map((other) => `${path} -> ${other}`),
  );
  t.same(upward, []);
  t.end();
});

/** Groups of files each of which imports, in some steps, all others of its group (Tarjan 1972). */
function circles(files: readonly string[]): string[][] {
  const found: string[][] = [];
  const number = new Map<string, number>();
  const stack: string[] = [];
  const lowest = (file: string): number => {
    const own = number.size;
    number.set(file, own);
    stack.push(file);
    let low = own;
    for (const other of importsOf(file)) {
      const seen = number.get(other);
      if (seen === undefined) low = Math.min(low, lowest(other));
      else if (stack.includes(other)) low = Math.min(low, seen);
    }
    if (low === own) {
      const group = stack.splice(stack.indexOf(file));
      if (group.length > 1) found.push(group.toSorted());
    }
    return low;
  };
  for (const file of files) if (!number.has(file)) lowest(file);
  return found;
}

t.test('no file imports itself in a circle, not for types either', (t) => {
  const files = readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter((name) =>
    name.endsWith('.ts'),
  );
  t.same(circles(files), []);
  t.end();
});

t.test('one file sees the addon, one folder makes sessions', (t) => {
  const holding = (text: string): string[] =>
    readdirSync(SOURCE, { recursive: true, encoding: 'utf8' }).filter(
      (path) =>
        path.endsWith('.ts') &&
        readFileSync(join(SOURCE, path), 'utf8')
          .replaceAll(/^ *\*.*$/gm, '') // examples in comments
          .includes(text),
    );
  t.same(holding('bertune.node'), ['native/addon.ts']);
  t.same(holding(' Session.create('), ['models/encoder-model.ts']);
  t.end();
});

const filesBelow = (folder: string): string[] =>
  readdirSync(folder, { recursive: true, withFileTypes: true })
    .filter((entry) => entry.isFile())
    .map((entry) => relative(folder, join(entry.parentPath, entry.name)));

t.test('the same of the native side', (t) => {
  const root = join(import.meta.dirname, '../native');
  const layers = ['core', 'cuda', 'ops', 'model', 'train', 'binding'];
  const upward = layers.flatMap((folder, layer) =>
    filesBelow(join(root, folder)).flatMap((name) => {
      const text = readFileSync(join(root, folder, name), 'utf8');
      const included = Array.from(text.matchAll(/#include "(\w+)\//g), ([, from = '']) => from);
      return included
        .filter((from) => layers.indexOf(from) > layer)
        .map((from) => `${folder}/${name} -> ${from}`);
    }),
  );
  t.same(upward, []);
  t.end();
});

t.test('docs/architecture.md has every folder', (t) => {
  const root = join(import.meta.dirname, '..');
  const [, tree = ''] = readFileSync(join(root, 'docs/architecture.md'), 'utf8').split('```');
  const named = tree.split('\n').flatMap((line) => /^ {2}([\w-]+\/)/.exec(line)?.[1] ?? []);
  const folders = ['src', 'native', 'scripts'].flatMap((folder) =>
    readdirSync(join(root, folder), { withFileTypes: true })
      .filter((entry) => entry.isDirectory())
      .map((entry) => `${entry.name}/`),
  );
  t.same(named.toSorted(), folders.toSorted());
  t.end();
});
