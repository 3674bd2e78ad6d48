// `npm run check:gpu` on the stand-in: every part runs on the CPU, in small; a part that crashes or takes too long fails alone; and a
// run that is cut off leaves what it has found.
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';
import { z } from 'zod';

import { gpuOptions } from '../../scripts/gpu/options.mjs';
import { PARTS, partsOf } from '../../scripts/gpu/parts.mjs';
import { rowLines } from '../../scripts/gpu/report.mjs';
import { runPart } from '../../scripts/gpu/runner.mjs';
import { SetupError } from '../../scripts/setup/errors.mjs';
import { fakeGpus, skipFakes } from '../fixtures/fake-cuda.js';

const folder = t.testdir();
const SCRIPT = join(import.meta.dirname, '../../scripts/check-gpu.mjs');
const JOB = { device: 'cpu', gpu: null, isSmall: true, bfloat16: false, folder };
/** Others may use the cores. */
const PATIENCE = ['--limit', '20'];

const written = z.object({
  machine: z.object({ device: z.string() }),
  isStandIn: z.boolean(),
  results: z.array(
    z.object({
      name: z.string(),
      result: z.string(),
      reason: z.string(),
      findings: z.array(z.object({ kind: z.string(), ok: z.boolean().optional() }).loose()),
    }),
  ),
});

function check(args: readonly string[], env: NodeJS.ProcessEnv = {}): ReturnType<typeof spawn> {
  return spawn(process.execPath, [SCRIPT, ...args], {
    cwd: folder,
    env: { ...process.env, NODE_OPTIONS: '', BERTUNE_PYTHON: '', ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
}

async function outcomeOf(
  child: ReturnType<typeof spawn>,
): Promise<{ code: unknown; stdout: string; stderr: string }> {
  const out = { stdout: '', stderr: '' };
  child.stdout?.setEncoding('utf8').on('data', (text: string) => (out.stdout += text));
  child.stderr?.setEncoding('utf8').on('data', (text: string) => (out.stderr += text));
  const [code] = (await once(child, 'close')) as [unknown];
  return { code, ...out };
}

t.test('options that cannot be used are refused in one line', async (t) => {
  const cases: [string[], RegExp][] = [
    [['--device', 'auto'], /Expected cpu, cuda or one such as cuda:1 for --device but received "auto"/],
    [['--device', 'cuda:x'], /received "cuda:x"/],
    [['--limit', '0'], /Expected a number above 0 for --limit but received "0"/],
    [['--json', 'nowhere/x.json'], /The folder of --json nowhere\/x\.json does not exist/],
    [['--fast'], /Unknown option '--fast'/],
    [['steps'], /Unexpected argument 'steps'/],
  ];
  for (const [args, message] of cases) {
    const error = t.throws(() => gpuOptions(args), message);
    t.ok(error instanceof SetupError && error.exitCode === 2 && !error.message.includes('\n'));
  }
  t.throws(() => partsOf(['steps', 'stairs']), { message: /^There is no part "stairs": device, / });
  t.same(
    partsOf(['steps', 'device']).map(({ name }) => name),
    ['device', 'steps'],
    'in their own order',
  );
  t.ok(PARTS.reduce((sum, { seconds }) => sum + seconds, 0) <= 480, 'all parts within eight minutes');
});

await t.test('the list', async (t) => {
  const { code, stdout } = await outcomeOf(check(['--list', '--only', 'steps,resume']));
  t.equal(code, 0);
  t.match(stdout.trimEnd().split('\n'), [/^steps +\d+ s {2}\w/, /^resume +\d+ s {2}\w/]);
});

await t.test('every part runs on the CPU', async (t) => {
  const json = join(folder, 'all.json');
  const { code, stdout, stderr } = await outcomeOf(check(['--device', 'cpu', '--json', json, ...PATIENCE]));
  t.equal(code, 0, stdout + stderr);
  const { isStandIn, results, machine } = written.parse(JSON.parse(readFileSync(json, 'utf8')));
  t.ok(isStandIn);
  t.equal(machine.device, 'cpu');
  t.equal(stdout.match(/STAND-IN/g)?.length, 2, 'it says so at both ends');
  t.same(
    results.map(({ name }) => name),
    PARTS.map(({ name }) => name),
  );
  const leftOut = new Set(['kernels', 'sanitizer', 'transformers']);
  for (const { name, result, findings, reason } of results) {
    t.ok(result === 'ok' || (result === 'skipped' && leftOut.has(name)), `${name} is ${result} ${reason}`);
    t.ok(findings.length > 0, `${name} has found something`);
    t.ok(findings.every(({ ok }) => ok !== false));
    t.match(stdout, new RegExp(`^${result} +${name} `, 'm'));
  }
});

await t.test('parts on a fake GPU', { skip: skipFakes }, async (t) => {
  const json = join(folder, 'fake.json');
  const env = await fakeGpus(join(folder, 'lib'), '7.5,9.0');
  const parts = [
    'device',
    'operators',
    'graphs',
    'dropout',
    'repeat',
    'checkpointing',
    'lora',
    'nonfinite',
    'sessions',
  ];
  const args = ['--device', 'cuda:1', '--json', json, '--only', parts.join(), ...PATIENCE];
  const { code, stdout, stderr } = await outcomeOf(check(args, env));
  t.equal(code, 0, stdout + stderr);
  const { isStandIn, results } = written.parse(JSON.parse(readFileSync(json, 'utf8')));
  t.ok(isStandIn, 'it is no GPU');
  t.same(
    results.map(({ name, result }) => [name, result]),
    parts.map((name) => [name, 'ok']),
  );
  t.match(stdout, /ok {3}tensors are on cuda:1 alone/);
});

await t.test('a run that is cut off has written what it found', async (t) => {
  const json = join(folder, 'cut.json');
  const child = check(['--device', 'cpu', '--json', json, '--only', 'device,graphs,repeat', ...PATIENCE]);
  let stdout = '';
  child.stdout?.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
    if (/^\w+ +graphs /m.test(stdout)) child.kill('SIGTERM');
  });
  await once(child, 'close');
  const { results } = written.parse(JSON.parse(readFileSync(json, 'utf8')));
  t.match(
    results.map(({ name }) => name),
    ['device'],
  );
  t.ok(results.length < 3);
});

await t.test('a part that crashes, or takes too long, fails alone', async (t) => {
  const crashed = await runPart({ name: 'nothing', title: 'no such file', seconds: 60 }, JOB, 1);
  t.equal(crashed.result, 'CRASHED');
  t.match(crashed.reason, /Cannot find module .*nothing\.mjs/);
  const endless = await runPart({ name: 'resume', title: 'longer than it may', seconds: 0.1 }, JOB, 1);
  t.equal(endless.result, 'TOO LONG');
  t.match(endless.reason, /^ended after 1 s; --limit 2 gives it twice as long$/);
  t.match(rowLines(endless)[1], /^TOO LONG +resume /);
});

t.test('a check that fails', async (t) => {
  const row = { name: 'graphs', title: 'bits', result: 'FAILED', seconds: 2, limit: 5, reason: '' } as const;
  const findings = [
    { kind: 'check', name: 'one', ok: true, detail: '' },
    { kind: 'check', name: 'two', ok: false, detail: '1 is not 2' },
    { kind: 'figure', name: 'a step', value: 7.0123, unit: 'ms' },
    { kind: 'figure', name: 'another', value: 8, unit: 'ms', aim: 'at most 7' },
    { kind: 'skip', reason: 'no tool' },
  ] as const;
  t.same(rowLines({ ...row, findings: [...findings] }), [
    '',
    'FAILED    graphs            2.0 of 5 s  bits; 1 of 2 checks',
    '    ok   one',
    '    FAIL two: 1 is not 2',
    '         a step: 7.01 ms',
    '         another: 8.00 ms (aim: at most 7)',
    '         left out: no tool',
  ]);
});
