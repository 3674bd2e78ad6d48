// The documentation does what it says: its commands and scripts run, page by page, on a tiny model and a few rows; and what is
// generated is up to date.
import { execFile, spawn } from 'node:child_process';
import { chmodSync, copyFileSync, mkdirSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { promisify } from 'node:util';
import t from 'tap';
import { ModuleKind, ScriptTarget, transpileModule } from 'typescript';

import { BertForSequenceClassification, BertTokenizer, parseBertConfig } from '../../dist/index.js';
import { screenLines, terminalSvg } from '../../scripts/quickstart/pictures.mjs';
import { blocksOf, pages, repositoryFile, type Block } from '../fixtures/docs.js';
import { makeToy, TOY_CONFIG } from '../fixtures/toy.js';

const environment = { ...process.env, NODE_OPTIONS: '', HF_HUB_OFFLINE: '1' };

for (const page of pages) {
  const blocks = blocksOf(page).filter(({ notRun }) => notRun === undefined);
  if (!blocks.some(isRun)) continue;
  t.test(page, async (t) => {
    const folder = t.testdir();
    await prepare(folder);
    for (const { file, code } of blocks) {
      if (file === undefined) continue;
      mkdirSync(dirname(join(folder, file)), { recursive: true });
      writeFileSync(join(folder, file), code);
    }
    for (const block of blocks.filter(isRun)) {
      const { code, output } = await execute(block, folder);
      t.equal(code, 0, `${page}:${block.line} ${block.code.split('\n', 1)[0]}`);
      if (code !== 0) t.comment(output);
    }
  });
}

t.test('what is generated is up to date', async (t) => {
  await t.resolves(
    promisify(execFile)(process.execPath, [repositoryFile('scripts/docs.mjs'), '--check'], {
      env: environment,
    }),
  );
});

t.test('a picture shows what a terminal shows', (t) => {
  const written =
    'start\r\n\rtraining 1/2\u001B[K\rtraining 2/2\u001B[K\r\u001B[Kstep 2/2\r\n\u001B[31mred\u001B[0m\r\n|\u001B[1G\u001B[0K';
  t.strictSame(screenLines(written), ['start', 'step 2/2', 'red', '']);
  t.match(terminalSvg(['$ a < b && c'], 'T'), /textLength="96"[^>]*>\$ a &lt; b &amp;&amp; c<\/text>/);
  t.end();
});

function isRun({ language, file }: Block): boolean {
  return file === undefined && (language === 'bash' || language === 'ts');
}

/** Runs the commands in bash, which stops at the first that fails; a script with Node, without its types. */
function execute(
  { language, code, line }: Block,
  folder: string,
): Promise<{ code: number | null; output: string }> {
  const name = join(folder, `block-${line}.mjs`);
  if (language === 'ts') {
    const compilerOptions = { module: ModuleKind.ESNext, target: ScriptTarget.ES2022 };
    writeFileSync(name, transpileModule(code, { compilerOptions }).outputText);
  }
  const [program, args] =
    language === 'ts' ? [process.execPath, [name]] : ['bash', ['-euo', 'pipefail', '-c', code]];
  const PATH = `${join(folder, 'bin')}:${process.env['PATH'] ?? ''}`;
  const child = spawn(program, args, {
    cwd: folder,
    env: { ...environment, PATH, HF_HOME: join(folder, 'hub') },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let output = '';
  for (const stream of [child.stdout, child.stderr])
    stream.setEncoding('utf8').on('data', (text: string) => (output += text));
  return new Promise((resolve, reject) => {
    child.on('error', reject).on('close', (exitCode) => resolve({ code: exitCode, output }));
  });
}

/**
 * What the pages take for granted: `npm run` and `npx bertune`, which are the command line here; bert-base-uncased, a tiny one
 * with random weights; train.csv, dev.csv and test.csv with the columns text and label, and new.csv with id and text.
 */
async function prepare(folder: string): Promise<void> {
  const { model: toy } = makeToy(folder, { train: 60, test: 20 });
  copyFileSync(join(folder, 'test.csv'), join(folder, 'dev.csv'));
  writeFileSync(join(folder, 'new.csv'), 'id,text\na1,the film was great\na2,a dull plot\n');
  const config = parseBertConfig({ ...TOY_CONFIG, max_position_embeddings: 512 }, 'toy');
  const model = BertForSequenceClassification.fromConfig(config, { numLabels: 2 });
  await model.open({ device: 'cpu' });
  const base = join(folder, 'bert-base-uncased');
  await model.savePretrained(base);
  await model.close();
  const tokenizer = await BertTokenizer.fromPretrained(toy);
  await tokenizer.savePretrained(base);
  for (const [name, skip] of [
    ['npm', 'run'],
    ['npx', 'bertune'],
  ] as const) {
    const script = `#!/bin/bash
[ "$1" = ${skip} ] && shift
[ "$1" = -s ] && shift
command=$1; shift
[ "$1" = -- ] && shift
exec ${JSON.stringify(process.execPath)} ${JSON.stringify(repositoryFile('dist/cli.js'))} "$command" "$@"
`;
    mkdirSync(join(folder, 'bin'), { recursive: true });
    writeFileSync(join(folder, 'bin', name), script);
    chmodSync(join(folder, 'bin', name), 0o755);
  }
}
