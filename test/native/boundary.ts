// The native boundary in short: random calls and sessions opened and closed, each in a process of its own. The long
// versions are run by `node test/fuzz/native/run.mjs`.
import { execFile } from 'node:child_process';
import { join } from 'node:path';
import { promisify } from 'node:util';
import tap from 'tap';

import { Session } from '../../dist/native/index.js';
import { fuzzCalls, openAndClose } from '../fuzz/native/run.mjs';
import { OPTIONS, seededSession, TINY } from '../fixtures/session.js';
import { bertSpec } from '../fixtures/bert-spec.mjs';

await tap.test('random calls are answered or refused with one line', async (t) => {
  const { calls, refused, fulfilled, wrong, crashes } = await fuzzCalls({ seed: 1, calls: 2500 });
  t.same(crashes, [], 'no process ends but by itself');
  t.same(wrong, [], 'no wrong answer');
  t.ok(calls >= 2500 && refused > 500 && fulfilled > 500, `${fulfilled} fulfilled and ${refused} refused`);
});

await tap.test('sessions opened and closed leave nothing behind', async (t) => {
  // So few say only whether what belongs to a session stays: 60 of them would have 60 threads more and memory doubled.
  // That memory is flat within 2 % is for the thousand of the long version.
  const { growth, threads, files } = await openAndClose({ sessions: 120, warmUp: 60 });
  t.ok(growth < 0.1, `memory grows by ${(growth * 100).toFixed(2)} %`);
  t.ok(threads < 10, `${threads} threads more`);
  t.ok(files <= 0, `${files} files more`);
});

await tap.test('what a caller throws', async (t) => {
  const session = await seededSession(TINY, 0.3);
  const throwing = (thrown: unknown): never =>
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the types forbid is the point
    Object.defineProperty({}, 'inputIds', {
      get() {
        throw thrown;
      },
    }) as never;
  await t.rejects(session.predict(throwing(new Error('two\nlines\u2028and more'))), {
    name: 'RunError',
    message: 'two lines and more',
  });
  await t.rejects(session.predict(throwing(Object.create(null))), { message: 'an error without a message' });
  await t.rejects(session.predict(throwing(Symbol('odd'))), { message: 'Symbol(odd)' });
  const circular: Record<string, unknown> = {};
  circular['self'] = circular;
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the types forbid is the point
  await t.rejects(session.read('classifier.bias', circular as never), {
    message: /for kind but received an object$/,
  });
  await t.rejects(session.read('a\u2028b\rc'), { message: "the model has no tensor named 'a b c'" });
  await session.close();
});

await tap.test('a refused call changes nothing', async (t) => {
  const session = await seededSession(TINY, 0.3);
  await session.setProgress(3, 3, 0.5);
  await t.rejects(session.setProgress(3, 3, Number.NaN), { name: 'UsageError' });
  t.equal((await session.stats()).loss, 0, 'the sum of losses continues from the right one');
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- what the types forbid is the point
  await t.rejects(session.restart(null as never), 'restart rejects and does not throw');
  await session.close();
});

await tap.test('sizes that no model has', async (t) => {
  const spec = bertSpec(TINY);
  const layers = Array.from({ length: 1025 }, () => spec.encoder.layers).flat();
  await t.rejects(Session.create({ ...spec, encoder: { ...spec.encoder, layers } }, OPTIONS), {
    name: 'UsageError',
    message: 'Expected at most 1024 elements for encoder.layers but received an array',
  });
  const session = await seededSession(TINY, 0.3);
  const shape = Array.from({ length: 10_000 }, () => 1);
  await t.rejects(session.write('classifier.bias', { dtype: 'F32', shape, data: new Uint8Array(4) }), {
    message: 'Expected at most 8 sizes for shape but received an array',
  });
  await session.close();
});

await tap.test('no memory for what is read', async (t) => {
  const program = join(import.meta.dirname, '../fixtures', 'no-memory-to-read.mjs');
  const { stdout } = await promisify(execFile)(process.execPath, [program]);
  t.match(stdout, /^RunError: Memory ran out; .* \(Array buffer allocation failed\)\nread \d+ values$/);
});
