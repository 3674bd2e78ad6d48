// Load on `bertune serve`: one client that waits for each answer, then many at a time, each with one text a request; and the
// same requests to transformers.js behind Node's HTTP server, with the model exported to ONNX. Every answer is held against
// that of its text alone.
//
//   node scripts/bench/serving.mjs --model out [--clients 64] [--seconds 60] [--side bertune|transformers.js] [-- FLAGS OF SERVE]
import { spawn } from 'node:child_process';
import { mkdtemp, rm } from 'node:fs/promises';
import { Agent, request } from 'node:http';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import { randomNumbers } from '../../dist/util/random.js';
import { SetupError } from '../setup/errors.mjs';
import { projectRoot } from '../setup/paths.mjs';
import { log, runMain } from '../setup/terminal.mjs';
import { machineFacts, machineLines } from './machine.mjs';
import { table } from './statistics.mjs';

const CLI = join(projectRoot, 'dist/cli.js');
const PEER = join(projectRoot, 'scripts/bench/serving/transformers-js.mjs');
const WORDS =
  'the film was a superb story about people who never knew what they wanted until it far too late to have any of that music and every scene with dull actors felt long'.split(
    ' ',
  );
const TEXTS = 200;
/** Scores of a text alone and in a step with others differ by rounding: of float32, of products in bfloat16. */
const TOLERANCE = 1e-4;

/** @typedef {{ label: string, score: number }} Scored */
/** @typedef {{ seconds: number, latencies: number[] }} Load */

await runMain(async () => {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: {
      model: { type: 'string' },
      clients: { type: 'string', default: '64' },
      seconds: { type: 'string', default: '60' },
      side: { type: 'string' },
    },
  });
  const { model } = values;
  if (model === undefined) throw new SetupError('--model is needed: the folder of a trained model', 2);
  const [clients, seconds] = [Number(values.clients), Number(values.seconds)];
  if (!Number.isInteger(clients) || clients < 1 || !(seconds > 0))
    throw new SetupError('--clients and --seconds are numbers above 0', 2);
  process.stdout.write(`${machineLines(await machineFacts('cpu')).join('\n')}\n`);
  const folder = await mkdtemp(join(tmpdir(), 'bertune-serving-'));
  try {
    /** @type {Record<string, () => Promise<string[][]>>} */
    const sides = {
      bertune: () =>
        loads(
          'bertune',
          [CLI, 'serve', model, '--port', '0', '--max-queue', String(8 * clients), ...positionals],
          {
            clients,
            seconds,
          },
        ),
      'transformers.js': async () => {
        const onnx = join(folder, 'onnx');
        await finished([CLI, 'export', model, '--output-dir', onnx, '--quiet']);
        return loads('transformers.js', [PEER, onnx], { clients, seconds });
      },
    };
    const rows = [['', 'texts/s', 'p50 ms', 'p95 ms', 'p99 ms', 'beside one by one']];
    for (const [name, run] of Object.entries(sides))
      if (values.side === undefined || values.side === name) rows.push(...(await run()));
    process.stdout.write(`${table(rows).join('\n')}\n`);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
});

/**
 * Starts a server, and loads it.
 *
 * @param {string} name @param {readonly string[]} args @param {{ clients: number, seconds: number }} load
 */
async function loads(name, args, { clients, seconds }) {
  const server = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'pipe'] });
  try {
    let said = '';
    const url = await new Promise((resolve, reject) => {
      server.stderr.setEncoding('utf8').on('data', (/** @type {string} */ text) => {
        said += text;
        const found = / at (http:\S+) /.exec(said)?.[1];
        if (found !== undefined) resolve(found);
      });
      server.on('exit', () => reject(new SetupError(`${name} did not start: ${said}`)));
    });
    log(said.trim());
    const texts = someTexts();
    const expected = await Promise.all([texts[0] ?? ''].map((text) => ask(url, text, new Agent())));
    const client = new Agent({ keepAlive: true });
    for (const text of texts.slice(1)) expected.push(await ask(url, text, client)); // which also warms it up
    const alone = await load(url, { texts, expected, clients: 1, seconds });
    const together = await load(url, { texts, expected, clients, seconds });
    client.destroy();
    return [row(`${name}, one by one`, alone, alone), row(`${name}, ${clients} clients`, together, alone)];
  } finally {
    server.kill('SIGTERM');
  }
}

/** @param {string} name @param {Load} load @param {Load} alone */
function row(name, { seconds, latencies }, alone) {
  const sorted = latencies.toSorted((a, b) => a - b);
  /** @param {number} share */
  const percentile = (share) => (sorted[Math.ceil(share * sorted.length) - 1] ?? NaN).toFixed(1);
  const rate = latencies.length / seconds;
  const ratio = rate / (alone.latencies.length / alone.seconds);
  return [name, rate.toFixed(0), ...[0.5, 0.95, 0.99].map(percentile), `${ratio.toFixed(2)}x`];
}

/**
 * Clients that ask again as soon as they have an answer.
 *
 * @param {string} url
 * @param {{ texts: readonly string[], expected: readonly Scored[][], clients: number, seconds: number }} work
 * @returns {Promise<Load>}
 */
async function load(url, { texts, expected, clients, seconds }) {
  const agent = new Agent({ keepAlive: true, maxSockets: clients });
  /** @type {number[]} */
  const latencies = [];
  let next = 0;
  const began = performance.now();
  const client = async () => {
    while (performance.now() - began < seconds * 1000) {
      const at = next++ % texts.length;
      const asked = performance.now();
      const answer = await ask(url, texts[at] ?? '', agent);
      latencies.push(performance.now() - asked);
      requireSame(answer, expected[at] ?? []);
    }
  };
  await Promise.all(Array.from({ length: clients }, client));
  agent.destroy();
  return { seconds: (performance.now() - began) / 1000, latencies };
}

/** @param {readonly Scored[]} answer @param {readonly Scored[]} expected */
function requireSame(answer, expected) {
  const scores = new Map(answer.map(({ label, score }) => [label, score]));
  const isSame = expected.every(
    ({ label, score }) => Math.abs((scores.get(label) ?? NaN) - score) < TOLERANCE,
  );
  if (!isSame) throw new Error(`${JSON.stringify(answer)} is not the answer ${JSON.stringify(expected)}`);
}

/**
 * Node's own client: fetch takes several times its time, and the clients share the processor with the server.
 *
 * @param {string} url @param {string} text @param {Agent} agent @returns {Promise<Scored[]>}
 */
function ask(url, text, agent) {
  const body = JSON.stringify({ inputs: text });
  return new Promise((resolve, reject) => {
    const headers = { 'Content-Type': 'application/json', 'Content-Length': Buffer.byteLength(body) };
    const sent = request(url, { method: 'POST', headers, agent }, (response) => {
      let answer = '';
      response.setEncoding('utf8').on('data', (/** @type {string} */ piece) => (answer += piece));
      response.on('end', () => {
        if (response.statusCode === 200) resolve(JSON.parse(answer)[0]);
        else reject(new Error(`status ${response.statusCode}: ${answer}`));
      });
    });
    sent.on('error', (error) => {
      // The server may close an idle connection in the moment in which it is used again.
      if (sent.reusedSocket && 'code' in error && error.code === 'ECONNRESET') resolve(ask(url, text, agent));
      else reject(error);
    });
    sent.end(body);
  });
}

/** Of 5 to 40 words. */
function someTexts() {
  const random = randomNumbers(1);
  return Array.from({ length: TEXTS }, () => {
    const length = 5 + Math.floor(random() * 36);
    return Array.from({ length }, () => WORDS[Math.floor(random() * WORDS.length)]).join(' ');
  });
}

/** @param {readonly string[]} args */
async function finished(args) {
  const child = spawn(process.execPath, args, { stdio: ['ignore', 'ignore', 'inherit'] });
  const code = await new Promise((resolve) => child.on('exit', resolve));
  if (code !== 0) throw new SetupError(`${args.join(' ')} failed`);
}
