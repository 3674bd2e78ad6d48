// What may lie in the cache before a download: links that lead out of it, leftovers, what another program left.
import * as fs from 'node:fs';
import { dirname, join } from 'node:path';

/**
 * @typedef {object} Place
 * @property {string} folder the repository's in the cache
 * @property {string} outside a folder that must stay as it is; `file` is in it
 * @property {import('./repositories.mjs').Repository} repository
 * @property {import('../../../scripts/fuzz/seeded-random.mjs').SeededRandom} random
 */

/** @param {Place} place */
function someFile({ repository, random }) {
  const [name, { oid, sha256, data }] = random.pick([...repository.files]);
  return { name, blob: sha256 ?? oid, data };
}

/**
 * @param {string} target
 * @param {string} path
 */
function symlink(target, path) {
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.symlinkSync(target, path);
}

/**
 * @param {string} path
 * @param {string | Buffer} content
 */
function write(path, content) {
  fs.mkdirSync(dirname(path), { recursive: true });
  fs.writeFileSync(path, content);
}

/** @type {Record<string, (place: Place) => void>} */
export const PLANTS = {
  'a link as partial file': (place) =>
    symlink(
      join(place.outside, place.random.pick(['file', 'new'])),
      join(place.folder, 'blobs', `${someFile(place).blob}.incomplete`),
    ),
  'a hard link as partial file'(place) {
    const path = join(place.folder, 'blobs', `${someFile(place).blob}.incomplete`);
    fs.mkdirSync(dirname(path), { recursive: true });
    fs.linkSync(join(place.outside, 'file'), path);
  },
  'a link as content': (place) =>
    symlink(join(place.outside, 'new'), join(place.folder, 'blobs', someFile(place).blob)),
  'a link in the snapshot': (place) =>
    symlink(
      join(place.outside, place.random.pick(['file', 'new'])),
      join(place.folder, 'snapshots', place.repository.commit, someFile(place).name),
    ),
  'a link as folder': (place) =>
    symlink(
      place.outside,
      join(
        place.folder,
        place.random.pick([
          '',
          'blobs',
          'refs',
          'trees',
          'snapshots',
          `snapshots/${place.repository.commit}`,
        ]),
      ),
    ),
  'a partial file of something else': (place) =>
    write(join(place.folder, 'blobs', `${someFile(place).blob}.incomplete`), place.random.bytes(100)),
  'the begin of a file'(place) {
    const { blob, data } = someFile(place);
    write(
      join(place.folder, 'blobs', `${blob}.incomplete`),
      data.subarray(0, place.random.below(data.length)),
    );
  },
  'a reference that is none': (place) =>
    write(
      join(place.folder, 'refs', 'main'),
      place.random.pick(['../../x', '', 'x'.repeat(100), '0'.repeat(40)]),
    ),
  'a listing that is none': (place) =>
    write(
      join(place.folder, 'trees', `${place.repository.commit}.json`),
      place.random.pick([
        '',
        '[',
        '{}',
        '{"format_version":1,"files":{"../../x":{"size":1,"blob_id":"0"}}}',
        '7',
      ]),
    ),
};
