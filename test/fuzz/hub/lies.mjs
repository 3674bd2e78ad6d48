// Every lie that the hub can tell, each as one change of what is about to be answered.
import { gzipSync } from 'node:zlib';
import { TOKEN } from './server.mjs';

/**
 * @typedef {import('./server.mjs').Plan} Plan
 * @typedef {{ kinds: readonly Plan['kind'][], tell: (plan: Plan, random: import('../../../scripts/fuzz/seeded-random.mjs').SeededRandom, origins: import('./server.mjs').Origins) => void }} Lie
 */

const ALL = /** @type {const} */ (['revision', 'tree', 'file']);
const FILE = /** @type {const} */ (['file']);
const API = /** @type {const} */ (['revision', 'tree']);
const TREE = /** @type {const} */ (['tree']);

const NAMES = [
  '../../../../escaped', '/tmp/escaped-absolute', 'a/../../escaped', '..\\escaped', 'a\0b', 'a\nb', 'a\x1b[2Jb', '\u202eb',
  'x'.repeat(256), 'a/', '', '.', 'config.json/x', `${TOKEN}.csv`, '__proto__', 'con', 'data/../../../escaped.csv', '\ud800',
]; // prettier-ignore
const SIZES = [-1, 0, 1, 0.5, 1e300, 2 ** 53, 1e15, '7', null, undefined, 149_999, 150_001];
const HASHES = ['', '../../x', 'A'.repeat(40), '0'.repeat(39), '0'.repeat(40), '0'.repeat(64), null, 7, []];
const STRANGE = [
  null, '', '[', '{}', '[]', '[[]]', '[null]', '"x"', '7', '<html>log in</html>', '['.repeat(129), '{"sha":"../x"}',
  '{"sha":"0000000000000000000000000000000000000000"}', '[{"type":"file"}]', `[${'0,'.repeat(10_000)}0]`, '{"sha":null}',
]; // prettier-ignore
const RETRY_AFTER = [
  '0',
  '1',
  '119',
  '121',
  '-1',
  '9'.repeat(400),
  '1e9',
  'soon',
  'Fri, 31 Dec 9999 23:59:59 GMT',
  '',
];
const STATUSES = [
  204, 205, 206, 300, 301, 304, 400, 401, 403, 404, 408, 410, 416, 418, 429, 451, 500, 502, 503, 504, 511,
  599,
];

/**
 * A change of some entries of a listing.
 *
 * @param {(entry: Record<string, unknown>, random: import('../../../scripts/fuzz/seeded-random.mjs').SeededRandom) => void} change
 * @returns {Lie}
 */
function inListing(change) {
  return {
    kinds: TREE,
    tell(plan, random) {
      if (!Array.isArray(plan.json)) return;
      for (const entry of plan.json) if (random.chance(0.4)) change(entry, random);
    },
  };
}

/** @type {Record<string, Lie>} */
export const LIES = {
  // --- the connection
  cut: {
    kinds: ALL,
    tell: (plan, random) => void (plan.wire.cutAfter = random.pick([0, 1, 10, 20_000, 100_000])),
  },
  stall: { kinds: ALL, tell: (plan, random) => void (plan.wire.stallAfter = random.pick([0, 5, 70_000])) },
  trickle: { kinds: ALL, tell: (plan, random) => void (plan.wire.trickle = random.pick([1, 7])) },
  endless: { kinds: ALL, tell: (plan) => void (plan.wire.endless = true) },
  garbage: {
    kinds: ALL,
    tell(plan, random) {
      const head = random.pick([
        '',
        'HTTP/1.1 200 OK\r\n',
        'HTTP/1.1 200 OK\r\nContent-Length: 5\r\nContent-Length: 6\r\n\r\n',
        'HTTP/1.1 103 X\r\n\r\n',
      ]);
      plan.wire.raw = Buffer.concat([Buffer.from(head), random.bytes(random.below(200))]);
    },
  },
  'long header': { kinds: ALL, tell: (plan) => void (plan.headers['x-long'] = 'x'.repeat(40_000)) },
  // --- the content
  'other content': {
    kinds: FILE,
    tell(plan, random) {
      plan.body = Buffer.from(plan.body);
      const at = random.below(plan.body.length);
      if (plan.body.length > 0) plan.body.writeUInt8(plan.body.readUInt8(at) ^ (1 + random.below(255)), at);
    },
  },
  shorter: {
    kinds: FILE,
    tell: (plan, random) => void (plan.body = plan.body.subarray(0, random.below(plan.body.length + 1))),
  },
  longer: {
    kinds: FILE,
    tell: (plan, random) => void (plan.body = Buffer.concat([plan.body, random.bytes(1 + random.below(50))])),
  },
  'content-length': {
    kinds: ALL,
    tell: (plan, random) =>
      void (plan.headers['content-length'] = random.pick(['0', '1', '150001', '99999999999', '-1', 'x'])),
  },
  'another part': {
    kinds: FILE,
    tell(plan, random) {
      plan.status = 206;
      const range = random.pick([
        'bytes 0-9/10',
        'bytes 5-9/10',
        'bytes */10',
        'x',
        `bytes ${'9'.repeat(99)}-1/2`,
        null,
      ]);
      if (range !== null) plan.headers['content-range'] = range;
      else delete plan.headers['content-range'];
    },
  },
  compressed: {
    kinds: ALL,
    tell(plan, random) {
      const content = plan.json === null ? plan.body : Buffer.from(JSON.stringify(plan.json));
      plan.json = null;
      plan.body = random.pick([
        gzipSync(content),
        content,
        gzipSync(Buffer.alloc((4 << 20) + 1)),
        gzipSync(content).subarray(0, 15),
      ]);
      plan.headers['content-encoding'] = random.pick(['gzip', 'gzip, gzip', 'deflate', 'br', 'x-unknown']);
    },
  },
  // --- answers of the API
  strange: { kinds: API, tell: (plan, random) => void (plan.json = random.pick(STRANGE)) },
  huge: {
    kinds: API,
    tell: (plan, random) => void (plan.json = `"${'x'.repeat((4 << 20) - random.pick([0, 2]))}"`),
  },
  names: inListing((entry, random) => void (entry['path'] = random.pick(NAMES))),
  sizes: inListing((entry, random) => {
    entry['size'] = random.pick(SIZES);
    if (random.chance(0.5) || typeof entry['lfs'] !== 'object') delete entry['lfs'];
    else entry['lfs'] = { ...entry['lfs'], size: random.pick(SIZES) };
  }),
  hashes: inListing((entry, random) => {
    entry['oid'] = random.pick(HASHES);
    if (random.chance(0.5)) entry['lfs'] = { oid: random.pick(HASHES), size: 7, pointerSize: 1 };
  }),
  types: inListing(
    (entry, random) => void (entry['type'] = random.pick(['directory', 'symlink', 'file', 7, null])),
  ),
  'missing files': {
    kinds: TREE,
    tell: (plan, random) =>
      void (Array.isArray(plan.json) && plan.json.splice(random.below(plan.json.length), 3)),
  },
  'next page': {
    kinds: TREE,
    tell(plan, random, origins) {
      const url = random.pick([
        `${origins.hub}${plan.path}`,
        `${origins.stranger}${plan.path}`,
        'file:///etc/passwd',
        'http://u:p@x',
        'x',
      ]);
      plan.headers['link'] = `<${url}>; rel="next"`;
    },
  },
  // --- statuses and redirects
  status: {
    kinds: ALL,
    tell(plan, random) {
      plan.status = random.pick(STATUSES);
      const code = random.pick([null, 'RepoNotFound', 'GatedRepo', 'RevisionNotFound', '\u00ff../../x']);
      if (code !== null) plan.headers['x-error-code'] = code;
      if (random.chance(0.7)) plan.headers['retry-after'] = random.pick(RETRY_AFTER);
    },
  },
  redirect: {
    kinds: ALL,
    tell(plan, random, { hub, cdn, stranger }) {
      plan.status = random.pick([301, 302, 303, 307, 308]);
      plan.headers['location'] = random.pick([
        plan.path, `${stranger}${plan.path}`, `${cdn}${plan.path}`, `${hub}${plan.path}`, 'file:///etc/passwd', 'data:,x', 'ftp://x/',
        `http://user:pass@${new URL(stranger).host}/`, `http://${TOKEN}@x/`, `${stranger}${plan.path}?token=${TOKEN}`, '//', 'http://',
        `http://${TOKEN}.invalid/`, '../../../x', '\\\\x', '',
      ]); // prettier-ignore
    },
  },
  headers: {
    kinds: ALL,
    tell(plan, random) {
      for (const name of [
        'etag',
        'x-linked-etag',
        'x-repo-commit',
        'x-linked-size',
        'set-cookie',
        'content-disposition',
      ])
        plan.headers[name] = random.pick(['../../x', '"x"', '-1', TOKEN, 'a=b']);
    },
  },
};
