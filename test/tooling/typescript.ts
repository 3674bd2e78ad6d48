// A project that uses bertune type-checks with the lowest TypeScript that the README names, and with the one of this checkout:
// the examples, `await using`, and bertune's declarations.
import { existsSync } from 'node:fs';
import { cp, mkdir, symlink, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import t from 'tap';
import { projectRoot } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';

const LOWEST = '5.2.2';
const CURRENT = join(projectRoot, 'node_modules/@typescript/native');

const CONSUMER = `import {
  AutoModelForSequenceClassification,
  AutoTokenizer,
  createTokenizerPool,
  loadDataset,
  Session,
  Trainer,
  trainingArguments,
  type Metrics,
} from 'bertune';

export async function run(...session: Parameters<typeof Session.create>): Promise<Metrics> {
  await using data = await loadDataset({ train: 'train.csv', validation: 'dev.csv' });
  const tokenizer = await AutoTokenizer.fromPretrained('model');
  await using model = await AutoModelForSequenceClassification.fromPretrained('model', data.task);
  await using pool = createTokenizerPool(tokenizer, { workers: 1 });
  await using native = await Session.create(...session);
  const args = trainingArguments({ outputDir: 'out', learningRate: 5e-5 });
  const parts = { model, tokenizer, args, trainDataset: data.train, evalDataset: data.validation };
  await using trainer = new Trainer(parts);
  await pool.encode([{ text: 'a' }]);
  await native.optimizerState();
  await trainer.train();
  return trainer.evaluate();
}

// @ts-expect-error the types are read: an option has a type
trainingArguments({ outputDir: 'out', learningRate: '5e-5' });
`;

/** The folder of a published TypeScript, kept between runs. */
async function published(version: string): Promise<string> {
  const cache = join(projectRoot, 'node_modules/.cache', `typescript-${version}`);
  const folder = join(cache, 'node_modules/typescript');
  if (existsSync(folder)) return folder;
  await mkdir(cache, { recursive: true });
  const args = ['install', '--prefix', cache, '--ignore-scripts', '--no-audit', '--no-fund'];
  const { code, stderr } = await capture('npm', [...args, `typescript@${version}`]);
  if (code !== 0) throw new Error(stderr);
  return folder;
}

async function check(folder: string, typescript: string, settings: object) {
  await mkdir(join(folder, 'node_modules'), { recursive: true });
  await symlink(projectRoot, join(folder, 'node_modules/bertune'));
  await symlink(join(projectRoot, 'node_modules/@types'), join(folder, 'node_modules/@types'));
  await cp(join(projectRoot, 'examples'), folder, { recursive: true });
  await writeFile(join(folder, 'package.json'), '{ "type": "module" }');
  await writeFile(join(folder, 'consumer.ts'), CONSUMER);
  const compilerOptions = {
    target: 'es2022',
    lib: ['es2022', 'esnext.disposable'],
    module: 'nodenext',
    types: ['node'],
    strict: true,
    noEmit: true,
    ...settings,
  };
  await writeFile(join(folder, 'tsconfig.json'), JSON.stringify({ compilerOptions, include: ['*.ts'] }));
  const compiler = join(typescript, 'lib/tsc.js');
  return capture('/bin/sh', [
    '-c',
    'unset NODE_OPTIONS; exec "$0" "$@"',
    process.execPath,
    compiler,
    '-p',
    folder,
  ]);
}

t.test(`TypeScript ${LOWEST}, with skipLibCheck as tsc --init sets it`, async (t) => {
  const { code, stdout } = await check(t.testdir(), await published(LOWEST), { skipLibCheck: true });
  t.equal(code, 0, stdout);
});

t.test(`TypeScript ${LOWEST} finds no fault in the declarations of bertune`, async (t) => {
  const folder = t.testdir();
  const { stdout } = await check(folder, await published(LOWEST), { skipLibCheck: false });
  // Those of zod 4 need TypeScript 5.4: NoInfer.
  const isOfZod = (line: string): boolean => /node_modules\/zod\/.*NoInfer/.test(line);
  const lines = stdout.split('\n').filter((line) => line !== '');
  t.same(
    lines.filter((line) => !isOfZod(line)),
    [],
  );
});

t.test('the TypeScript of this checkout, declarations included', async (t) => {
  const { code, stdout } = await check(t.testdir(), CURRENT, { skipLibCheck: false });
  t.equal(code, 0, stdout);
});
