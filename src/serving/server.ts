// A server from its first connection to its last answer.
import { once } from 'node:events';
import { Server, type IncomingMessage, type ServerResponse } from 'node:http';
import { isIP } from 'node:net';
import { createAdaptorServer } from '@hono/node-server';
import type { Hono } from 'hono';
import { messageOf, systemCode, UsageError } from '../util/errors.js';

const FAULTS = new Map([
  ['EADDRINUSE', 'another process listens there; choose another port'],
  ['EACCES', 'no permission; choose a port from 1024 on'],
  ['EADDRNOTAVAIL', 'this machine has no such address; choose another host'],
  ['ENOTFOUND', 'there is no such host; choose another host'],
  ['EAI_AGAIN', 'the name of the host cannot be resolved; choose another host'],
]);

/** A server that listens. */
export interface RunningServer {
  readonly url: string;
  /** Accepts nothing more, and ends when each request that had arrived has its answer. */
  stop(): Promise<void>;
}

/**
 * @param options.requestTimeout seconds
 * @throws UsageError where it cannot listen
 */
export async function startServer(
  app: Hono,
  { host, port, requestTimeout }: { host: string; port: number; requestTimeout: number },
): Promise<RunningServer> {
  const time = requestTimeout * 1000;
  const server = createAdaptorServer({
    fetch: app.fetch,
    serverOptions: {
      headersTimeout: time,
      requestTimeout: time + 1000, // the app answers first
      connectionsCheckingInterval: Math.min(time, 1000),
    },
  });
  if (!(server instanceof Server)) throw new TypeError('no HTTP/1.1');
  // Of a connection on which nothing moves: a client that reads no answer would hold it, and the answer, for ever.
  server.setTimeout(time + 1000);
  const answering = new Map<ServerResponse, IncomingMessage>();
  let onAnswered: (() => void) | undefined;
  server.on('request', (request: IncomingMessage, response: ServerResponse) => {
    answering.set(response, request);
    response.on('close', () => {
      answering.delete(response);
      onAnswered?.();
    });
  });
  try {
    server.listen(port, host);
    await once(server, 'listening');
  } catch (error) {
    const fault = FAULTS.get(systemCode(error) ?? '') ?? messageOf(error);
    throw new UsageError(`Cannot listen on port ${port} of ${host}: ${fault}`, { cause: error });
  }
  const address = server.address();
  const shown = isIP(host) === 6 ? `[${host}]` : host;
  return {
    url: `http://${shown}:${typeof address === 'object' ? (address?.port ?? port) : port}`,
    stop: async () => {
      server.close();
      while ([...answering.values()].some(({ complete }) => complete))
        await new Promise<void>((resolve) => (onAnswered = resolve));
      server.closeAllConnections();
    },
  };
}

/** Whether only this machine reaches an address. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || host === '::1' || (isIP(host) === 4 && host.startsWith('127.'));
}
