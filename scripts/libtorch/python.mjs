// A torch that the machine's Python can import: its wheel holds a whole LibTorch.
import { capture } from '../setup/process.mjs';
import { Unavailable, inspect } from './inspect.mjs';

// Where torch lies, without the seconds that importing it takes.
const WHERE =
  'import importlib.util as u; s = u.find_spec("torch"); print((s and s.origin and s.submodule_search_locations or [""])[0])';

/**
 * @param {{ env: NodeJS.ProcessEnv }} context
 * @returns {Promise<import('./inspect.mjs').LibTorch>}
 * @throws {Unavailable} with one reason for each Python
 */
export async function fromPython({ env }) {
  const reasons = [];
  for (const python of ['python3', 'python']) {
    // From / so that a folder called torch in the current directory is not taken for the package.
    const { code, stdout, missing } = await capture(python, ['-c', WHERE], { env, cwd: '/' });
    const folder = stdout.trim();
    if (missing) reasons.push(`there is no ${python}`);
    else if (code !== 0 || folder === '') reasons.push(`${python} has no torch`);
    else {
      try {
        return await inspect(folder);
      } catch (error) {
        if (!(error instanceof Unavailable)) throw error;
        reasons.push(error.message);
      }
    }
  }
  throw new Unavailable([...new Set(reasons)].join('; '));
}
