// How commands are named in messages: `npm run` in a checkout, `npx bertune` everywhere else.
import { execFileSync } from 'node:child_process';
import { cpSync, mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { commandLine, isInstalled, packageRoot, shellWord } from '../../dist/util/installation.js';

t.test('in a checkout', (t) => {
  t.notOk(isInstalled);
  t.equal(packageRoot, process.cwd());
  t.equal(commandLine('setup'), 'npm run setup');
  t.equal(commandLine('predict', '--model out'), 'npm run predict -- --model out');
  const folder = t.testdir();
  const before = process.cwd();
  process.chdir(folder);
  t.equal(
    commandLine('predict', '--model out'),
    'npx bertune predict --model out',
    'seen from another folder',
  );
  process.chdir(before);
  t.end();
});

t.test('words of a command are what a shell makes of them', (t) => {
  const words = [
    'out',
    'runs/März-1',
    'my model',
    `it's "so"`,
    '$HOME/out',
    '`ls`',
    'a\\b',
    'what!',
    '~/out',
    'a*',
    '',
  ];
  const command = `printf '%s\\0' ${words.map(shellWord).join(' ')}`;
  t.strictSame(execFileSync('sh', ['-c', command], { encoding: 'utf8' }).split('\0').slice(0, -1), words);
  t.equal(shellWord('runs/März-1'), 'runs/März-1', 'no quotes without need');
  t.end();
});

t.test('installed', (t) => {
  const root = join(t.testdir(), 'node_modules/bertune');
  mkdirSync(join(root, 'dist/util'), { recursive: true });
  writeFileSync(join(root, 'package.json'), '{ "type": "module" }');
  cpSync('dist/util/installation.js', join(root, 'dist/util/installation.js'));
  const script = `import(${JSON.stringify(join(root, 'dist/util/installation.js'))}).then(({ commandLine }) =>
    process.stdout.write(commandLine('predict', '--model out')))`;
  const shown = execFileSync(process.execPath, ['--eval', script], { cwd: root, encoding: 'utf8' });
  t.equal(shown, 'npx bertune predict --model out');
  t.end();
});
