// What `npm run train` and its like do before the command itself: help without a set-up, options that npm took, a build
// that shows its progress and ends with Ctrl-C. No compiler is needed.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';
import { commands, foreignNames } from '../../dist/options/index.js';
import { OPTION_NAMES } from '../../scripts/bench/options.mjs';
import { SetupError } from '../../scripts/setup/errors.mjs';
import { refuseOptionsTakenByNpm } from '../../scripts/setup/npm.mjs';
import { projectRoot } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';
import { buildProgress, progressLine } from '../../scripts/setup/terminal.mjs';
import { flags } from '../fixtures/cli.js';
import { makeToy } from '../fixtures/toy.js';

const script = (name: string): string => join(projectRoot, 'scripts', name);

/** With an invalid LIBTORCH, so that a set-up of the addon would end the script; without tap's NODE_OPTIONS. */
function run(args: readonly string[], env: NodeJS.ProcessEnv = {}) {
  const clean = Object.entries(process.env).filter(([name]) => !name.startsWith('npm_'));
  return capture('sh', ['-c', 'unset NODE_OPTIONS; exec "$0" "$@"', process.execPath, ...args], {
    env: { ...Object.fromEntries(clean), LIBTORCH: '/nowhere', ...env },
  });
}

t.test('SIGTERM to npm stops a training, which saves', async (t) => {
  const folder = t.testdir();
  makeToy(folder, { train: 24, test: 8 });
  const own = {
    config: join(folder, 'model/config.json'),
    tokenizer: join(folder, 'model'),
    'train-file': join(folder, 'train.csv'),
    'max-steps': '1000000',
    'output-dir': join(folder, 'out'),
    threads: '1',
    'dataloader-num-workers': '0',
  };
  const npm = spawn('npm', ['run', '--silent', 'train', '--', ...flags(own)], {
    cwd: projectRoot,
    env: { ...process.env, NODE_OPTIONS: '' },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  npm.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
    if (stderr.includes('Training on ') && !npm.killed) npm.kill('SIGTERM');
  });
  const [code] = (await once(npm, 'close')) as [number | null];
  t.equal(code, 143, stderr);
  t.match(stderr, /stopped by SIGTERM; continue with --resume-from-checkpoint/);
  t.ok((await readdir(join(folder, 'out'))).some((name) => name.startsWith('checkpoint-')));
});

t.test('help needs no addon', async (t) => {
  for (const command of ['evaluate', 'merge', 'bench']) {
    const { code, stdout, stderr } = await run([script('run.mjs'), command, '--help']);
    t.match({ code, stdout }, { code: 0, stdout: /Usage: /i }, command);
    t.notMatch(stderr, /LIBTORCH/);
  }
  t.match(await run([script('run.mjs'), 'train', '-h']), { code: 0, stdout: /--learning-rate/ });
  t.match(await run([script('run.mjs'), 'predict']), { code: 2, stderr: /LIBTORCH cannot be used/ });
});

t.test('options that npm took as its own', async (t) => {
  const refusal = (
    script: string,
    settings: Record<string, string>,
    ...args: string[]
  ): SetupError | null => {
    const table = commands.find(({ name }) => name === script);
    const names = table === undefined ? OPTION_NAMES : [...Object.keys(table.options), ...foreignNames()];
    try {
      refuseOptionsTakenByNpm(script, args, names, { npm_lifecycle_event: script, ...settings });
      return null;
    } catch (error) {
      if (error instanceof SetupError) return error;
      throw error;
    }
  };
  // As npm 10 and 11 set them for `npm run train --model x` and so on.
  const cases: [string, Record<string, string>, string[], string][] = [
    ['train', { npm_config_model: 'true' }, ['x'], 'npm run train -- --model x'],
    ['train', { npm_config_model: 'x' }, [], 'npm run train -- --model=x'],
    ['train', { npm_config_gradient_checkpointing: 'true' }, [], 'npm run train -- --gradient-checkpointing'],
    ['train', { npm_config_maxsteps: 'true' }, ['10'], 'npm run train -- --max-steps 10'],
    ['train', { npm_config_text_column: 'a b' }, [], "npm run train -- --text-column='a b'"],
    [
      'train',
      { npm_config_model: 'true', npm_config_train_file: 'true' },
      ['x', 'a.csv', 'b.csv'],
      'npm run train -- ...\nwith your arguments in place of the dots.',
    ],
    [
      'train',
      { npm_config_learning_rate: 'true' },
      ['run.json', '2e-5'],
      'npm run train -- ...\nwith your arguments in place of the dots.',
    ],
    [
      'train',
      { npm_config_resume_from_checkpoint: 'true' },
      ['run.json'],
      'npm run train -- ...\nwith your arguments in place of the dots.',
    ],
    ['predict', { npm_config_test_file: 'a.csv' }, [], 'npm run predict -- --test-file=a.csv'],
    ['bench', { npm_config_batches: '8x64' }, [], 'npm run bench -- --batches=8x64'],
  ];
  for (const [command, settings, args, typed] of cases) {
    const error = refusal(command, settings, ...args);
    t.equal(error?.exitCode, 2);
    t.match(error?.message, /^npm took --[\w, -]+ as its own: put -- before the options. Type:\n/);
    t.ok(error?.message.endsWith(`\n  ${typed}`), error?.message ?? '');
  }
  const settings = { npm_lifecycle_event: 'train', npm_config_model: 'x' };
  t.match(await run([script('run.mjs'), 'train'], settings), { code: 2, stderr: /run train -- --model=x$/m });
  t.match(
    await run([script('setup.mjs')], { npm_lifecycle_event: 'setup', npm_config_native_only: 'true' }),
    { code: 2, stderr: /npm run setup -- --native-only$/m },
  );

  const silent: [Record<string, string>, string[]][] = [
    [{ npm_config_json: 'true', npm_config_loglevel: 'verbose', npm_config_cache: '/x' }, ['a.csv']],
    [{ npm_config_model: 'x' }, ['--device', 'cpu']],
    [{ npm_config_model: 'x', npm_lifecycle_event: 'pipeline' }, []],
    [{ npm_config_output_file: 'x' }, []],
  ];
  for (const [env, args] of silent) t.equal(refusal('train', env, ...args), null);
});

t.test('the progress of a build', async (t) => {
  const written: string[] = [];
  let time = 0;
  const stream = (isTTY: boolean) => ({ isTTY, write: (text: string) => written.push(text) > 0 });
  const build = (isTTY: boolean) => buildProgress({ stream: stream(isTTY), now: () => time });

  const bar = build(true);
  t.same(written, ['\r\x1b[2KCompiling [........................] 0 % 0:00'], 'shown at once');
  time = 61_000;
  bar.read('INFO CMD BUILD');
  bar.read('[3/30] Building CXX object CMakeFiles/operators.dir/native/batch.cc.o');
  t.equal(written.at(-1), '\r\x1b[2KCompiling [##......................] 10 % 3 of 30 files, 1:01');
  time = 70_000;
  bar.read('[ 42%] Building CXX object CMakeFiles/operators.dir/native/batch.cc.o');
  t.match(written.at(-1), / 42 % /, 'as Make says it');
  bar.end();
  t.equal(written.at(-1), '\n');

  written.length = 0;
  const lines = build(false);
  t.same(written, []);
  for (; time < 130_000; time += 1000) lines.read('[1/30] a');
  lines.end();
  t.same(
    written,
    ['0:15', '0:30', '0:45'].map((clock) => `Compiling 3 % 1 of 30 files, ${clock}\n`),
    'a line every 15 seconds',
  );

  written.length = 0;
  const quarters = progressLine('Fetching', { stream: stream(false), now: () => time });
  time += 3000;
  for (let done = 0; done <= 100; done += 5) quarters.update(done, 100, `${done} MB`);
  t.same(
    written,
    [25, 50, 75, 100].map((done) => `Fetching ${done} % ${done} MB\n`),
  );
});

t.test('a signal ends what was started, grandchildren too', async (t) => {
  const folder = t.testdir({
    'compiler.mjs': `import { writeFileSync } from 'node:fs';
      writeFileSync(new URL('pid', import.meta.url), String(process.pid));
      setInterval(() => {}, 1000);`,
    'make.mjs': `import { spawn } from 'node:child_process';
      spawn(process.execPath, [new URL('compiler.mjs', import.meta.url).pathname], { stdio: 'inherit' });`,
    'setup.mjs': `import { capture } from ${JSON.stringify(script('setup/process.mjs'))};
      await capture(process.execPath, [new URL('make.mjs', import.meta.url).pathname]);
      console.log('went on');`,
  });
  for (const [signal, expected] of [
    ['SIGINT', 130],
    ['SIGTERM', 143],
  ] as const) {
    const setup = spawn(process.execPath, [join(folder, 'setup.mjs')], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let printed = '';
    setup.stdout.on('data', (data) => (printed += String(data)));
    const pidOf = async (): Promise<number> =>
      Number(await readFile(join(folder, 'pid'), 'utf8').catch(() => '0'));
    let pid = 0;
    while (pid === 0 || !(await isAlive(pid))) {
      await sleep(20);
      pid = await pidOf();
    }
    // npm forwards the Ctrl-C that the terminal sends too.
    setup.kill(signal);
    setup.kill(signal);
    const [code] = await once(setup, 'close');
    t.equal(code, expected);
    t.equal(printed, '');
    t.notOk(await isAlive(pid), `the compiler ends with ${signal}`);
  }
});

/** Whether it is still that program: one that has ended may remain as a zombie. */
async function isAlive(pid: number): Promise<boolean> {
  return (await readFile(`/proc/${pid}/cmdline`, 'utf8').catch(() => '')).includes('compiler.mjs');
}
