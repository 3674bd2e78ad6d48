// The fuzzer of npm run test:fuzz in short: a few hundred inputs for each format, and that it notices what it is there for.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import t from 'tap';

import { formats } from '../scripts/fuzz/formats/index.mjs';
import { fuzzFormat } from '../scripts/fuzz/runner.mjs';

const INPUTS = 200;
const keep = mkdtempSync(join(tmpdir(), 'bertune-fuzz-'));
t.teardown(() => rmSync(keep, { recursive: true }));

for (const { name } of formats) {
  t.test(name, async (t) => {
    const { inputs, findings, accepted } = await fuzzFormat({ name, inputs: INPUTS, seed: 1, keep });
    t.equal(inputs, INPUTS);
    t.same(findings, []);
    t.ok(accepted > 0 && accepted < INPUTS, `${accepted} were read`);
  });
}
