// The Python under scripts/reference/ is run by hand, to make fixtures, or where BERTUNE_PYTHON names an interpreter with its
// packages: that it is valid Python is checked here.
import { readdirSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import tap from 'tap';

import { capture } from '../../scripts/setup/process.mjs';

const folder = fileURLToPath(new URL('../../scripts/reference/', import.meta.url));
const PARSE =
  'import ast, sys\nfor path in sys.argv[1:]: ast.parse(open(path, encoding="utf-8").read(), path)';

await tap.test('every reference script can be read by Python', async (t) => {
  const scripts = readdirSync(folder).filter((name) => name.endsWith('.py'));
  t.ok(scripts.includes('bench.py'));
  const { code, stderr, missing } = await capture('python3', [
    '-c',
    PARSE,
    ...scripts.map((name) => folder + name),
  ]);
  if (missing) return t.comment('there is no python3');
  t.equal(code, 0, stderr.trim());
});
