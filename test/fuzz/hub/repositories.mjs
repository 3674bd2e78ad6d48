// The two repositories of the liar's hub as an honest hub has them.
import { createHash } from 'node:crypto';
import { SeededRandom } from '../../../scripts/fuzz/seeded-random.mjs';

/**
 * @typedef {{ data: Buffer, oid: string, sha256: string | null }} File
 * @typedef {{ api: string, web: string, commit: string, files: Map<string, File> }} Repository
 *   `api` and `web` are the first parts of its addresses
 */

const git = (/** @type {Buffer} */ data) =>
  createHash('sha1').update(`blob ${data.length}\0`).update(data).digest('hex');

/** @param {string} text */
const sha1 = (text) => createHash('sha1').update(text).digest('hex');

/** @param {Buffer} data */
const sha256 = (data) => createHash('sha256').update(data).digest('hex');

/**
 * @param {string} name
 * @param {Buffer} data
 * @returns {[string, File]}
 */
function file(name, data) {
  if (!/\.(safetensors|parquet)$/.test(name)) return [name, { data, oid: git(data), sha256: null }];
  return [name, { data, oid: sha1(`pointer to ${sha256(data)}`), sha256: sha256(data) }];
}

const text = (/** @type {string} */ content) => Buffer.from(content);
const CARD =
  '---\nconfigs:\n- {config_name: all, data_files: [{split: train, path: data/train-*.csv}]}\n---\n';

/** @type {Repository} */
export const MODEL = {
  api: 'api/models/org/model',
  web: 'org/model',
  commit: sha1('model'),
  files: new Map([
    file('config.json', text('{"model_type":"bert"}')),
    file('model.safetensors', new SeededRandom(1).bytes(150_000)),
    file('tokenizer.json', text('{"version":"1.0"}')),
    file('vocab.txt', text('[PAD]\n[UNK]\n')),
    file('README.md', text('never asked for')),
  ]),
};

/** @type {Repository} */
export const DATA = {
  api: 'api/datasets/org/data',
  web: 'datasets/org/data',
  commit: sha1('data'),
  files: new Map([
    file('README.md', text(CARD)),
    file('data/train-0.csv', text('text,label\na,1\n'.repeat(2000))),
    file('data/train-1.csv', text('text,label\nb,0\n'.repeat(100))),
    file('other.parquet', new SeededRandom(2).bytes(1000)),
  ]),
};
