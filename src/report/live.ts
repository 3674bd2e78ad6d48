// The report of a training that is running, served to this machine alone and kept up to date by server-sent events.
import { createServer, type IncomingMessage, type ServerResponse } from 'node:http';

import { UsageError, errorCode, messageOf } from '../util/errors.js';

const HOST = '127.0.0.1';
const SCRIPT = '/live.js';
const EVENTS = '/events';

/** The path of the script for `PageOptions.liveScript`. */
export const LIVE_SCRIPT = SCRIPT;

/** Takes the new page in place of the old one; what was unfolded stays so. */
const CLIENT = `const parts = ['header', 'main'];
const folds = () => Array.from(document.querySelectorAll('details'));
const badge = (text) => {
  const found = document.querySelector('.live') ?? document.querySelector('.brand').appendChild(document.createElement('span'));
  found.className = 'live';
  found.textContent = text;
};
const source = new EventSource('${EVENTS}');
source.addEventListener('open', () => badge('live'));
source.addEventListener('update', async () => {
  const answer = await fetch('/');
  const page = new DOMParser().parseFromString(await answer.text(), 'text/html');
  const open = folds().map((one) => one.open);
  for (const name of parts) document.querySelector(name).replaceWith(page.querySelector(name));
  folds().forEach((one, i) => { one.open = open[i] ?? false; });
  badge('live');
});
source.addEventListener('end', () => { source.close(); badge('ended'); });
source.addEventListener('error', () => badge('not connected'));
`;

/** A server of one page. */
export interface LiveServer {
  readonly url: string;
  /** Tells the browsers that there is a newer page. */
  update(): void;
  close(): Promise<void>;
}

/**
 * @param page the newest page
 * @param port 0: any that is free
 * @throws UsageError for a port that cannot be used
 */
export async function serveLive(page: () => string, port: number): Promise<LiveServer> {
  const listeners = new Set<ServerResponse>();
  const server = createServer((request, response) => answer(request, response, page, listeners));
  const address = await new Promise<number>((resolve, reject) => {
    server.once('error', (error) => reject(portError(error, port)));
    server.listen(port, HOST, () => {
      const at = server.address();
      resolve(typeof at === 'object' && at !== null ? at.port : port);
    });
  });
  server.unref(); // a training that is over does not wait for browsers
  const send = (event: string): void => {
    for (const listener of listeners) listener.write(`event: ${event}\ndata: {}\n\n`);
  };
  return {
    url: `http://${HOST}:${address}/`,
    update: () => send('update'),
    close: async () => {
      send('update');
      send('end');
      for (const listener of listeners) listener.end();
      const closed = new Promise<void>((resolve) => void server.close(() => resolve()));
      server.closeIdleConnections();
      // Whoever is still reading the last page gets a moment for it.
      const timer = setTimeout(() => server.closeAllConnections(), 500);
      await closed;
      clearTimeout(timer);
    },
  };
}

function portError(error: unknown, port: number): unknown {
  const code = errorCode(error);
  if (!['EADDRINUSE', 'EACCES', 'ERR_SOCKET_BAD_PORT'].includes(code)) return error;
  const why = code === 'EADDRINUSE' ? 'it is in use' : messageOf(error);
  return new UsageError(
    `livePort ${port} cannot be used: ${why}; choose another, or leave it out for a free one`,
  );
}

function answer(
  request: IncomingMessage,
  response: ServerResponse,
  page: () => string,
  listeners: Set<ServerResponse>,
): void {
  // A page elsewhere can make a name of its own stand for this machine, and would read what is served here.
  const name = (request.headers.host ?? '').replace(/:\d+$/, '');
  if (![HOST, 'localhost'].includes(name)) return end(response, 403, 'text/plain', 'only for this machine\n');
  if (request.method !== 'GET' && request.method !== 'HEAD')
    return end(response, 405, 'text/plain', 'only GET\n');
  const path = (request.url ?? '').replace(/\?.*$/s, '');
  if (path === '/') return end(response, 200, 'text/html; charset=utf-8', page());
  if (path === SCRIPT) return end(response, 200, 'text/javascript; charset=utf-8', CLIENT);
  if (path !== EVENTS) return end(response, 404, 'text/plain', 'not found\n');
  response.writeHead(200, { 'content-type': 'text/event-stream', 'cache-control': 'no-store' });
  response.write('\n');
  listeners.add(response);
  response.on('close', () => listeners.delete(response));
}

function end(response: ServerResponse, status: number, type: string, body: string): void {
  response.writeHead(status, {
    'content-type': type,
    'cache-control': 'no-store',
    'x-content-type-options': 'nosniff',
    'cross-origin-resource-policy': 'same-origin',
  });
  response.end(body);
}
