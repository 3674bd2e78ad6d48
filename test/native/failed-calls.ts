// What is left of a session when memory runs out anywhere in a call: it is as before, or closed, and says which. A preloaded library
// lets the allocations fail (native/tests/failing_memory.cc).
import { join } from 'node:path';

import tap from 'tap';
import { z } from 'zod';

import { buildDir } from '../../scripts/setup/paths.mjs';
import { capture } from '../../scripts/setup/process.mjs';
import { buildTarget } from '../fixtures/native-build.js';

const found = z.record(z.string(), z.array(z.object({ message: z.string(), state: z.string() })));
const AS_BEFORE = /^Memory ran out; use .*; the session is as it was before this call\)$/;
const CLOSED = 'the session is closed, since an earlier call failed half way';

const skip = process.platform !== 'linux' && 'LD_PRELOAD is needed';
await tap.test('each allocation of a call fails once', { skip }, async (t) => {
  const built = await buildTarget('failing_memory');
  if (!t.equal(built.code, 0, 'the library builds')) t.comment(built.stdout, built.stderr);
  const program = join(import.meta.dirname, '..', 'fixtures', 'failing-allocations.mjs');
  const { stdout, stderr } = await capture(process.execPath, [program], {
    env: { ...process.env, LD_PRELOAD: join(buildDir, 'failing_memory.so'), NODE_OPTIONS: '' },
  });
  t.equal(stderr, '');
  const results = found.parse(JSON.parse(stdout));

  for (const name of ['first update', 'later update']) {
    const all = results[name] ?? [];
    const closed = all.filter(({ message }) => message.includes('half way'));
    t.ok(closed.length > 0, `${name}: some fail when weights or state may have changed`);
    for (const { message, state } of closed) {
      t.match(message, /^Memory ran out; use .* \(an update failed half way: .*; the session is closed\)$/);
      t.equal(state, CLOSED);
    }
    const unchanged = all.filter((each) => !closed.includes(each));
    t.ok(unchanged.length > 3, `${name}: the others come before`);
    for (const { message, state } of unchanged) {
      t.match(message, AS_BEFORE);
      t.equal(state, 'as without the failure', name);
    }
  }

  const accumulated = results['accumulate'] ?? [];
  t.ok(accumulated.length > 3);
  for (const { message, state } of accumulated) {
    t.match(message, AS_BEFORE);
    t.equal(state, 'as without the failure', 'gradients of the earlier micro-batch included');
  }

  const lost = (results['accumulate, and no memory to repeat what was before'] ?? []).filter(({ message }) =>
    message.includes('closed'),
  );
  t.ok(lost.length > 0, 'gradients that were written in part');
  for (const { message, state } of lost) {
    t.match(
      message,
      /^Memory ran out; use .* \(the gradients of earlier micro-batches could not be restored: /,
    );
    t.equal(state, CLOSED);
  }
});
