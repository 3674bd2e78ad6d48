// Some hundred random calls of the addon and of its typed wrapper, in a process of its own: `calls.mjs SEED CALLS`, run
// with --expose-gc. Each call is written to file descriptor 3 before it is made, so that after a crash the last lines
// there tell who made it. Prints its counts as one line of JSON; what was wrong is among them.
import { execFileSync } from 'node:child_process';
import { readFileSync, writeSync } from 'node:fs';
import { createRequire } from 'node:module';
import { inspect } from 'node:util';
import { Worker } from 'node:worker_threads';

import { Session } from '../../../dist/native/index.js';
import * as typedAddon from '../../../dist/native/index.js';
import { rightArguments, configOf, optionsOf } from './arguments.mjs';
import { SeededRandom } from '../../../scripts/fuzz/seeded-random.mjs';
import { altered, isOurs, oddValue } from './values.mjs';
import { bertSpec } from '../../fixtures/bert-spec.mjs';

const [seed = 0, calls = 0] = process.argv.slice(2).map(Number);
const random = new SeededRandom(seed);
const FUNCTIONS = ['deviceInfo', 'kernelsProblem', 'busySeconds', 'startPhases', 'stopPhases'];
const MOST_SESSIONS = 4;
/** Of address space, for all that the calls ask for. */
const MOST_BYTES = 4 * 2 ** 30;
/** A refused call is refused in one readable line without the C++ behind it. */
const UNREADABLE = /[\n\r\0\u2028\u2029]|\.cc\b|\.cpp\b|c10::|at::|frame #|0x[0-9a-f]{6}|std::/;
const LONGEST_MESSAGE = 400;

const counts = {
  calls: 0,
  fulfilled: 0,
  refused: 0,
  passedOn: 0,
  collections: 0,
  /** @type {string[]} */ wrong: [],
};

/**
 * @typedef {object} Subject a session, whether of the addon or of its wrapper
 * @property {object} session
 * @property {boolean} isTyped
 * @property {import('../../fixtures/bert-spec.mjs').BertShape} config
 * @property {boolean} isOpen
 */

/** @type {Subject[]} */
let subjects = [];
/** @type {Set<Promise<void>>} */
const pending = new Set();

/** @type {object} */
let addon;

/** @param {string} name */
function exported(name) {
  return /** @type {Function} */ (Reflect.get(addon, name));
}

/** @param {string} line */
function log(line) {
  writeSync(3, `${counts.calls} ${line.replaceAll(/\s+/g, ' ').slice(0, 400)}\n`);
}

/** @param {unknown} value */
function shown(value) {
  try {
    return inspect(value, {
      depth: 2,
      maxArrayLength: 4,
      maxStringLength: 40,
      breakLength: Infinity,
      getters: false,
    });
  } catch {
    return 'what cannot be shown';
  }
}

/**
 * @param {string} name
 * @param {unknown} error
 * @param {boolean} isTyped
 */
function judge(name, error, isTyped) {
  counts.refused++;
  if (!(error instanceof Error)) {
    // What a getter throws is the caller's own; the addon hands it through as it is, the wrapper makes an Error of it.
    if (isTyped) counts.wrong.push(`${name}: not an Error but ${shown(error)}`);
    else counts.passedOn++;
    return;
  }
  if (!isTyped && isOurs(error)) {
    counts.passedOn++;
    return;
  }
  const { message } = error;
  if (UNREADABLE.test(message) || message.length > LONGEST_MESSAGE || message === '')
    counts.wrong.push(`${name}: an unreadable message: ${JSON.stringify(message.slice(0, 500))}`);
  if (isTyped && !['UsageError', 'RunError'].includes(error.name))
    counts.wrong.push(`${name}: ${error.name} instead of UsageError or RunError: ${message.slice(0, 200)}`);
}

/**
 * Makes one call, now, and judges what comes of it, sometime.
 *
 * @param {string} name
 * @param {boolean} isTyped
 * @param {() => unknown} call
 * @param {boolean} [mustSucceed]
 */
function make(name, isTyped, call, mustSucceed = false) {
  counts.calls++;
  const label = `${isTyped ? 'typed' : 'raw'} ${name}`;
  const refuse = (/** @type {unknown} */ error) => {
    judge(label, error, isTyped);
    if (mustSucceed) counts.wrong.push(`${label}: a right call was refused: ${shown(error)}`);
  };
  try {
    const answer = call();
    if (!(answer instanceof Promise)) {
      counts.fulfilled++;
      return;
    }
    const settled = answer.then(() => void counts.fulfilled++, refuse);
    pending.add(settled);
    void settled.finally(() => pending.delete(settled));
  } catch (error) {
    if (isTyped && name !== 'create' && !FUNCTIONS.includes(name))
      counts.wrong.push(`${label}: threw instead of rejecting: ${shown(error)}`);
    refuse(error);
  }
}

/** @param {Subject} subject @param {string} name @param {unknown[]} parameters @param {boolean} mustSucceed */
function callMethod(subject, name, parameters, mustSucceed) {
  const method = Reflect.get(subject.session, name);
  if (name === 'close') subject.isOpen = false;
  log(`${subject.isTyped ? 'typed' : 'raw'} ${name}(${parameters.map(shown).join(', ')})`);
  make(name, subject.isTyped, () => Reflect.apply(method, subject.session, parameters), mustSucceed);
}

/** Things that a getter may do in the middle of a call. */
function mischief() {
  return [
    () => globalThis.gc?.(),
    () => random.pick(subjects)?.session && closeOne(),
    () => subjects[0] && callMethod(subjects[0], 'stats', [], false),
    () => {
      subjects = subjects.slice(1);
    },
  ];
}

function closeOne() {
  if (subjects.length === 0) return;
  const subject = random.pick(subjects);
  callMethod(subject, 'close', [], false);
}

function callSomeMethod() {
  const subject = random.pick(subjects);
  const names = Object.keys(rightArguments).filter(
    (name) => typeof Reflect.get(subject.session, name) === 'function',
  );
  // Closing is seldom, so that sessions live for some calls.
  const name = random.chance(0.03) ? 'close' : random.pick(names.filter((other) => other !== 'close'));
  const right = rightArguments[name]?.(random, subject.config, subject.isTyped) ?? [];
  const isRight = random.chance(0.4);
  const parameters = isRight ? right : spoiled(right);
  // Of some calls it depends on what was called before whether they are right.
  const mustSucceed =
    isRight && subject.isOpen && ['predict', 'stats', 'optimizerState', 'matmulRate'].includes(name);
  callMethod(subject, name, parameters, mustSucceed);
}

/** @param {unknown[]} right */
function spoiled(right) {
  const place = random.below(right.length);
  const value = right[place];
  return random.pick(
    [
      () => right.with(place, oddValue(random)),
      () => right.map(() => oddValue(random)),
      () => right.slice(0, place),
      () => [...right, oddValue(random)],
      ...Array.from({ length: 6 }, () => () => [
        ...right.slice(0, place),
        typeof value === 'object' && value !== null ? altered(random, value, mischief()) : oddValue(random),
        ...right.slice(place + 1),
      ]),
    ].filter((_, i) => right.length > 0 || i === 3),
  )();
}

/** @param {boolean} isTyped @param {boolean} isRight */
async function create(isTyped, isRight = random.chance(0.5)) {
  const config = configOf(random);
  const parts = [bertSpec(config), optionsOf(random)];
  const parameters = isRight ? parts : spoiled(parts);
  log(`${isTyped ? 'typed' : 'raw'} create(${parameters.map(shown).join(', ')})`);
  /** @param {object} session */
  const keep = (session) => {
    subjects.push({ session, isTyped, config: isRight ? config : TINY, isOpen: isRight });
    if (subjects.length > MOST_SESSIONS) subjects.splice(random.below(subjects.length), 1);
  };
  if (isTyped) {
    make(
      'create',
      true,
      async () => keep(await Reflect.apply(Reflect.get(Session, 'create'), Session, parameters)),
      isRight,
    );
    if (isRight) await Promise.all(pending);
    return;
  }
  make(
    'create',
    false,
    () => {
      const session = Reflect.construct(exported('Session'), parameters);
      keep(session);
      return isRight || random.chance(0.5) ? session.open() : undefined;
    },
    isRight,
  );
}

const TINY = configOf(new SeededRandom(1));

/** The class and its methods where they do not belong. */
function misuse() {
  const NativeSession = exported('Session');
  const name = random.pick(Object.getOwnPropertyNames(NativeSession.prototype));
  const method = NativeSession.prototype[name];
  const receiver = random.pick([oddValue(random), NativeSession.prototype, subjects[0]?.session]);
  const parts = [bertSpec(configOf(random)), optionsOf(random)];
  const place = random.below(4);
  log(`misuse ${place} of ${name} on ${shown(receiver)}`);
  const attempts = [
    () => typeof method === 'function' && Reflect.apply(method, receiver, [oddValue(random)]),
    () => Reflect.apply(NativeSession, receiver, parts),
    () => Reflect.construct(NativeSession, parts, random.pick([Map, Object, Date, NativeSession])),
    () => typeof method === 'function' && Reflect.construct(method, parts),
  ];
  make('misuse', false, attempts[place] ?? (() => undefined));
}

function callFunction() {
  const name = random.pick(FUNCTIONS);
  const isTyped = random.chance(0.5);
  const parameters = [oddValue(random), oddValue(random)].slice(random.below(3));
  log(`${isTyped ? 'typed' : 'raw'} ${name}(${parameters.map(shown).join(', ')})`);
  const home = isTyped ? typedAddon : addon;
  make(
    name,
    isTyped,
    () => Reflect.apply(Reflect.get(home, name), random.pick([home, undefined, null, 3]), parameters),
    true,
  );
}

function collect() {
  counts.collections++;
  globalThis.gc?.();
}

async function step() {
  const sort = random.below(100);
  if (subjects.length === 0 || sort < 6) await create(random.chance(0.5));
  else if (sort < 9) misuse();
  else if (sort < 13) callFunction();
  else if (sort < 15) collect();
  else if (sort < 16) subjects.splice(random.below(subjects.length), 1);
  else callSomeMethod();
  if (random.chance(0.15)) await Promise.all(pending);
  else if (random.chance(0.2)) await new Promise((resolve) => void setImmediate(resolve));
}

/** A session that nobody else calls: its answers may not change. */
async function canary() {
  const session = await Session.create(bertSpec(TINY), {
    device: 'cpu',
    dtype: 'float32',
    threads: 2,
    seed: 7,
  });
  const batch = {
    inputIds: Int32Array.from({ length: 70 }, (_, i) => i % 19),
    cuSeqlens: Int32Array.of(0, 3, 20),
  };
  batch.inputIds = batch.inputIds.slice(0, 20);
  const before = String(await session.predict(batch));
  return async () => {
    log('canary');
    if (String(await session.predict(batch)) !== before)
      counts.wrong.push('the logits of another session changed');
    await session.close();
  };
}

/** A thread that writes to shared memory all the time, from which batches are made: what is checked must be a copy. */
function scribbler() {
  const shared = new SharedArrayBuffer(4 * 64);
  const worker = new Worker(
    `const ids = new Int32Array(require('node:worker_threads').workerData);
     for (let i = 0; ; i++) ids[i % 64] = i % 3 === 0 ? 1 : i % 3 === 1 ? 2 ** 31 - 1 : -1;`,
    { eval: true, workerData: shared },
  );
  worker.unref();
  return { worker, ids: new Int32Array(shared) };
}

/** @param {Int32Array} ids */
async function predictFromShared(ids) {
  const subject = subjects.find(({ isOpen }) => isOpen);
  if (subject === undefined) return;
  log('predict and accumulate from memory that another thread writes');
  for (let i = 0; i < 20; i++) {
    const part = ids.subarray(0, 1 + random.below(8));
    const batch = {
      inputIds: part,
      cuSeqlens: Int32Array.of(0, part.length),
      labels: ids.subarray(8, 9),
      tokenTypeIds: part,
    };
    make('predict', subject.isTyped, () =>
      Reflect.apply(Reflect.get(subject.session, 'predict'), subject.session, [batch]),
    );
    make('accumulate', subject.isTyped, () =>
      Reflect.apply(Reflect.get(subject.session, 'accumulate'), subject.session, [batch, { divisor: 1 }]),
    );
  }
  await Promise.all(pending);
}

/** Sizes of gigabytes are then refused everywhere, also where the machine has that much memory. */
function limitMemory() {
  const kibibytes = Number(/VmSize:\s*(\d+)/.exec(readFileSync('/proc/self/status', 'utf8'))?.[1]);
  execFileSync('prlimit', ['--pid', String(process.pid), `--as=${kibibytes * 1024 + MOST_BYTES}:unlimited`]);
}

function finish() {
  writeSync(1, `${JSON.stringify({ ...counts, wrong: counts.wrong.slice(0, 20) })}\n`);
}

/** The ways in which a process ends: in order, with calls under way, and with calls made while it exits. */
async function end() {
  const way = seed % 3;
  log(`end ${way}`);
  if (way === 0) {
    await Promise.all(pending);
    for (const subject of subjects) callMethod(subject, 'close', [], false);
    await Promise.all(pending);
    return finish();
  }
  for (let i = 0; i < 20 && subjects.length > 0; i++) callSomeMethod();
  finish();
  if (way === 1) process.exit(0);
  process.on('exit', () => {
    for (let i = 0; i < 20 && subjects.length > 0; i++) callSomeMethod();
    globalThis.gc?.();
  });
  process.exit(0);
}

const check = await canary();
addon = createRequire(import.meta.url)('../../../build/Release/bertune.node');
const { worker, ids } = scribbler();
limitMemory();
while (counts.calls < calls) await step();
await create(true, true);
await predictFromShared(ids);
await worker.terminate();
await Promise.all(pending);
await check();
await end();
