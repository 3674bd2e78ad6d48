// One download from a hub that tells a random combination of lies, and everything that must hold after it.
import { createHash } from 'node:crypto';
import * as fs from 'node:fs';
import { join, relative, resolve, sep } from 'node:path';
import { RunError, UsageError } from '../../../dist/util/errors.js';
import { datasetFiles } from '../../../dist/hub/dataset.js';
import { modelDirectory } from '../../../dist/hub/model.js';
import { SeededRandom } from '../../../scripts/fuzz/seeded-random.mjs';
import { LIES } from './lies.mjs';
import { PLANTS } from './plants.mjs';
import { DATA, MODEL } from './repositories.mjs';
import { TOKEN } from './server.mjs';

/** Seconds after which a download counts as hanging; every limit of the product is far below. */
const HANGS = 240;

/**
 * @typedef {object} Result
 * @property {string} told which lies, for the record
 * @property {'finished' | 'refused'} outcome
 * @property {string[]} faults empty when all is well
 */

/**
 * @param {{ liar: import('./server.mjs').LiarServer, honest: import('./server.mjs').LiarServer }} servers the second
 *   is told to lie by nobody
 * @param {number} seed
 * @param {string} root a folder of its own, which is there
 * @returns {Promise<Result>}
 */
export async function runTrial({ liar, honest }, seed, root) {
  const random = new SeededRandom(seed);
  const repository = random.chance(0.6) ? MODEL : DATA;
  const lies = Array.from({ length: 1 + random.below(3) }, () => random.pick(Object.keys(LIES)));
  const plant = random.chance(0.3) ? random.pick(Object.keys(PLANTS)) : null;
  const told = [repository === MODEL ? 'model' : 'data', ...lies, plant].filter(Boolean).join(', ');
  /** @type {string[]} */
  const lines = [];
  const prefix = `t${seed}`;
  const hub = join(root, 'hf', 'hub');
  fs.mkdirSync(join(root, 'outside'));
  fs.writeFileSync(join(root, 'outside', 'file'), 'kept');
  const folder = join(hub, repository === MODEL ? 'models--org--model' : 'datasets--org--data');
  if (plant !== null) PLANTS[plant]?.({ folder, outside: join(root, 'outside'), repository, random });
  const before = outsideOf(root);
  const links = fs.existsSync(hub) ? linksThatLeave(hub) : [];

  const leaks = /** @type {string[]} */ ([]);
  const often = random.pick([0.1, 0.4, 1]);
  liar.trials.set(prefix, {
    leaks,
    lies(plan, origins) {
      for (const name of lies) {
        const lie = LIES[name];
        if (lie?.kinds.includes(plan.kind) && random.chance(often)) lie.tell(plan, random, origins);
      }
    },
  });
  const env = {
    HOME: root,
    HF_HOME: join(root, 'hf'),
    HF_ENDPOINT: `${liar.origins.hub}/${prefix}`,
    HF_TOKEN: TOKEN,
  };
  const impatient = { ...env, HF_HUB_DOWNLOAD_TIMEOUT: '1', HF_HUB_ETAG_TIMEOUT: '1' };
  const progress = (/** @type {string} */ line) => void lines.push(line);
  const first = await settled(repository, { env: impatient, progress });

  const faults = first.ok ? [] : faultsOfError(first.error);
  faults.push(...leaks.map((leak) => `the token was sent to the ${leak}`));
  faults.push(...lines.filter((line) => /\p{Cc}/u.test(line) || shows(line)).map((line) => `said: ${line}`));
  if (JSON.stringify(outsideOf(root)) !== JSON.stringify(before))
    faults.push('something outside the cache changed');
  if (fs.existsSync(hub)) faults.push(...faultsOfCache(hub, links));

  // The same cache with an honest hub: what the liar left must not stand in the way. It has origins of its own, since
  // fetch() keeps connections, and the bytes that a liar sent too many on one are the next answer there.
  honest.trials.set(prefix, { leaks, lies: () => undefined });
  const patient = {
    ...env,
    HF_ENDPOINT: `${honest.origins.hub}/${prefix}`,
    HF_HUB_DOWNLOAD_TIMEOUT: '3600',
    HF_HUB_ETAG_TIMEOUT: '3600',
  };
  const second = await settled(repository, { env: patient, progress });
  if (!second.ok) {
    if (!/is a link, so nothing is written there/.test(String(second.error)))
      faults.push(`an honest hub did not mend it: ${String(second.error)}`);
  } else {
    // Of a listing that lacks a file and is right otherwise nobody can tell.
    const isPartial = first.ok && lies.some((name) => ['missing files', 'types', 'names'].includes(name));
    faults.push(...wrongFiles(repository, second.paths, isPartial));
  }
  liar.trials.delete(prefix);
  honest.trials.delete(prefix);
  return { told, outcome: first.ok ? 'finished' : 'refused', faults };
}

/**
 * @param {import('./repositories.mjs').Repository} repository
 * @param {import('../../../dist/hub/model.js').HubOptions} options
 * @returns {Promise<{ ok: true, paths: string[] } | { ok: false, error: unknown }>}
 */
async function settled(repository, options) {
  /** @type {NodeJS.Timeout | undefined} */
  let timer;
  const hangs = new Promise((_, reject) => {
    // Counted in ticks, so that a process that was stopped for a while is not taken for one that hangs.
    let ticks = 0;
    timer = setInterval(() => ++ticks > HANGS && reject(new Error('it hangs')), 1000);
  });
  try {
    const paths = await Promise.race([fetchAll(repository, options), hangs]);
    return { ok: true, paths };
  } catch (error) {
    return { ok: false, error };
  } finally {
    clearInterval(timer);
  }
}

/**
 * @param {import('./repositories.mjs').Repository} repository
 * @param {import('../../../dist/hub/model.js').HubOptions} options
 */
async function fetchAll(repository, options) {
  if (repository === DATA) {
    const { splits } = await datasetFiles('org/data', options);
    return Object.values(splits).flat();
  }
  const directory = await modelDirectory('org/model', options);
  const names = fs.readdirSync(directory).filter((name) => name !== 'README.md'); // not asked for, but perhaps planted
  return names.map((name) => join(directory, name));
}

/** @param {string} text */
const shows = (text) => text.toLowerCase().includes(TOKEN);

/** @param {unknown} error */
function faultsOfError(error) {
  if (!(error instanceof UsageError || error instanceof RunError)) {
    const stack = error instanceof Error ? error.stack : String(error);
    return [`an error that is not ours: ${stack}`];
  }
  const [line = '', ...ways] = error.message.split('\n');
  const faults = [];
  if (ways.some((way) => !/^ {2,}\S/.test(way))) faults.push(`more than one line: ${error.message}`);
  if (/[\p{Cc}\u202e]/u.test(error.message.replaceAll('\n', '')))
    faults.push(`control characters: ${error.message}`);
  if (line.length > 1000) faults.push(`a long message: ${line.slice(0, 100)}`);
  if (shows(`${error.message} ${error.stack} ${JSON.stringify(error)}`))
    faults.push('the token is in the error');
  return faults;
}

/** Everything in a trial's folder that is not the cache, with what would change if it were written to. */
function outsideOf(/** @type {string} */ root) {
  return everything(root)
    .filter((path) => !relative(root, path).startsWith(join('hf', 'hub') + sep))
    .filter((path) => relative(root, path) !== join('hf', 'hub') && relative(root, path) !== 'hf')
    .map((path) => {
      const { size, mode, mtimeMs } = fs.lstatSync(path);
      const content = fs.lstatSync(path).isFile() ? fs.readFileSync(path, 'latin1') : '';
      return [path, size, mode, fs.lstatSync(path).isDirectory() ? 0 : mtimeMs, content];
    });
}

/** Paths of links that lead out of a folder. */
function linksThatLeave(/** @type {string} */ folder) {
  return everything(folder).filter((path) => {
    if (!fs.lstatSync(path).isSymbolicLink()) return false;
    return !resolve(path, '..', fs.readlinkSync(path)).startsWith(folder + sep);
  });
}

/**
 * @param {string} hub
 * @param {readonly string[]} planted links that were there before
 */
function faultsOfCache(hub, planted) {
  const faults = linksThatLeave(hub)
    .filter((path) => !planted.includes(path))
    .map((path) => `a link leads out of the cache: ${path}`);
  for (const path of everything(hub)) {
    const name = relative(hub, path);
    if (!/^(models--org--model|datasets--org--data)(\/|$)/.test(name))
      faults.push(`not a repository's: ${name}`);
    if (shows(name)) faults.push(`the token is in a name: ${name}`);
    if (/tmp-/.test(name)) faults.push(`left over: ${name}`);
    const entry = fs.lstatSync(path);
    const [, hash] = /\/blobs\/([0-9a-f]+)$/.exec(name) ?? [];
    if (entry.isFile() && hash !== undefined && !hasHash(fs.readFileSync(path), hash))
      faults.push(`content without its hash: ${name}`);
    if (entry.isFile() && !name.includes('/blobs/') && shows(fs.readFileSync(path, 'latin1')))
      faults.push(`the token is in ${name}`);
  }
  return faults;
}

/**
 * @param {Buffer} data
 * @param {string} hash
 */
function hasHash(data, hash) {
  const sum = hash.length === 64 ? createHash('sha256') : createHash('sha1').update(`blob ${data.length}\0`);
  return sum.update(data).digest('hex') === hash;
}

/**
 * @param {import('./repositories.mjs').Repository} repository
 * @param {readonly string[]} paths
 * @param {boolean} isPartial
 */
function wrongFiles({ files }, paths, isPartial) {
  const names = [...files.keys()];
  const needed = names.filter(
    (name) => !isPartial && /^(config.json|model.safetensors|data\/.*)$/.test(name),
  );
  const found = paths.map((path) => [names.find((name) => path.endsWith(`/${name}`)) ?? path, path]);
  const missing = needed.filter((name) => !found.some(([known]) => known === name));
  const wrong = found.filter(
    // A link may lead nowhere.
    ([name = '', path = '']) =>
      !fs.existsSync(path) || files.get(name)?.data.equals(fs.readFileSync(path)) !== true,
  );
  return [...missing.map((name) => `missing: ${name}`), ...wrong.map(([name]) => `other content: ${name}`)];
}

/**
 * Every path below a folder, without following links.
 *
 * @param {string} folder
 * @returns {string[]}
 */
function everything(folder) {
  return fs.readdirSync(folder, { withFileTypes: true }).flatMap((entry) => {
    const path = join(folder, entry.name);
    return entry.isDirectory() ? [path, ...everything(path)] : [path];
  });
}
