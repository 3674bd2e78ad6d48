// Three loopback origins, the hub, its CDN and a stranger, which answer honestly until the lies of a trial change that.
import { createServer } from 'node:http';
import { DATA, MODEL } from './repositories.mjs';

/**
 * What is about to be answered; lies change it.
 *
 * @typedef {object} Plan
 * @property {'hub' | 'cdn' | 'stranger'} host
 * @property {'revision' | 'tree' | 'file' | 'none'} kind
 * @property {string} path with the trial's prefix
 * @property {string | undefined} token the header that came
 * @property {number} status
 * @property {Record<string, string>} headers
 * @property {unknown} json of revision and tree
 * @property {Buffer} body of a file
 * @property {{ cutAfter?: number, stallAfter?: number, trickle?: number, endless?: boolean, raw?: Buffer }} wire
 *
 * @typedef {(plan: Plan, origins: Origins) => void} Lies
 * @typedef {{ hub: string, cdn: string, stranger: string }} Origins
 * @typedef {{ lies: Lies, leaks: string[] }} Listener `leaks` receives the heads of requests that show the token
 */

export const TOKEN = 'hf_0123456789abcdefsecret';

/** Serves trials by the first part of the path: /t17/api/models/... */
export class LiarServer {
  /** @type {Map<string, Listener>} */
  trials = new Map();
  /** @type {Origins} */
  origins = { hub: '', cdn: '', stranger: '' };
  /** @type {import('node:http').Server[]} */
  #servers = [];

  async start() {
    for (const host of /** @type {const} */ (['hub', 'cdn', 'stranger'])) {
      const server = createServer((request, response) => this.#answer(host, request, response));
      await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
      const address = server.address();
      this.origins[host] = `http://127.0.0.1:${typeof address === 'object' ? address?.port : 0}`;
      this.#servers.push(server);
    }
    return this;
  }

  async stop() {
    for (const server of this.#servers) {
      server.closeAllConnections();
      await new Promise((resolve) => server.close(resolve));
    }
  }

  /**
   * @param {Plan['host']} host
   * @param {import('node:http').IncomingMessage} request
   * @param {import('node:http').ServerResponse} response
   */
  #answer(host, request, response) {
    const path = new URL(request.url ?? '/', this.origins.hub).pathname;
    const [, prefix = '', rest = ''] = /^\/(t\d+)\/(.*)$/.exec(path) ?? [];
    const trial = this.trials.get(prefix);
    if (trial === undefined) {
      response.writeHead(404).end();
      return;
    }
    if (host !== 'hub' && request.rawHeaders.some((part) => part.includes(TOKEN)))
      trial.leaks.push(`${host} ${path}`);
    const plan = honest(host, prefix, decodeURIComponent(rest), request.headers, this.origins);
    trial.lies(plan, this.origins);
    send(plan, response);
  }
}

/**
 * @param {Plan['host']} host
 * @param {string} prefix
 * @param {string} rest
 * @param {import('node:http').IncomingHttpHeaders} headers
 * @param {Origins} origins
 * @returns {Plan}
 */
function honest(host, prefix, rest, headers, origins) {
  /** @type {Plan} */
  const plan = {
    host,
    kind: 'none',
    path: `/${prefix}/${rest}`,
    token: headers.authorization,
    status: 404,
    headers: {},
    json: null,
    body: Buffer.alloc(0),
    wire: {},
  };
  for (const { api, web, commit, files } of [MODEL, DATA]) {
    if (rest.startsWith(`${api}/revision/main`))
      return { ...plan, kind: 'revision', status: 200, json: { sha: commit } };
    if (rest.startsWith(`${api}/tree/${commit}`))
      return { ...plan, kind: 'tree', status: 200, json: listing(files) };
    const name = rest.slice(`${web}/resolve/${commit}/`.length);
    const found = rest.startsWith(`${web}/resolve/${commit}/`) ? files.get(name) : undefined;
    if (found !== undefined && found.sha256 !== null)
      return {
        ...plan,
        kind: 'file',
        status: 302,
        headers: { location: `${origins.cdn}/${prefix}/${found.sha256}` },
      };
    const linked = [...files.values()].find(({ sha256 }) => sha256 === rest);
    const content = found ?? linked;
    if (content !== undefined) return withContent({ ...plan, kind: 'file' }, content.data, headers.range);
  }
  return plan;
}

/** @param {import('./repositories.mjs').Repository['files']} files */
function listing(files) {
  return [...files].map(([path, { data, oid, sha256 }]) => ({
    type: 'file',
    path,
    size: data.length,
    oid,
    ...(sha256 !== null && { lfs: { oid: sha256, size: data.length, pointerSize: 130 } }),
  }));
}

/**
 * @param {Plan} plan
 * @param {Buffer} data
 * @param {string | undefined} range
 * @returns {Plan}
 */
function withContent(plan, data, range) {
  const start = Number(/^bytes=(\d+)-/.exec(range ?? '')?.[1] ?? 0);
  if (start === 0) return { ...plan, status: 200, body: data };
  const headers = { 'content-range': `bytes ${start}-${data.length - 1}/${data.length}` };
  return { ...plan, status: 206, headers, body: data.subarray(start) };
}

/**
 * @param {Plan} plan
 * @param {import('node:http').ServerResponse} response
 */
function send({ status, headers, json, body, wire }, response) {
  response.on('error', () => undefined);
  if (wire.raw !== undefined) {
    response.socket?.end(wire.raw);
    return;
  }
  const content = json === null ? body : Buffer.from(typeof json === 'string' ? json : JSON.stringify(json));
  try {
    response.writeHead(status, wire.endless ? headers : { 'content-length': content.length, ...headers });
  } catch {
    response.socket?.destroy(); // a header that Node does not send
    return;
  }
  // What was promised and sent must also end: the client then uses the connection again.
  const limit = Math.min(wire.cutAfter ?? wire.stallAfter ?? Infinity, content.length);
  if (wire.endless) {
    repeat(response, () => response.write(Buffer.alloc(65_536, 'x')));
  } else if (wire.trickle !== undefined) {
    const step = wire.trickle;
    let sent = 0;
    repeat(response, () => {
      response.write(content.subarray(sent, (sent += step)));
      if (sent >= content.length) response.end();
    });
  } else if (limit === content.length) response.end(content);
  else
    response.write(
      content.subarray(0, limit),
      () => wire.cutAfter !== undefined && response.socket?.destroy(),
    );
}

/**
 * @param {import('node:http').ServerResponse} response
 * @param {() => void} action repeated while the connection lasts
 */
function repeat(response, action) {
  const timer = setInterval(action, 20);
  response.on('close', () => clearInterval(timer));
}
