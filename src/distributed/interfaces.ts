// By which address the processes on other machines reach this one.
import { once } from 'node:events';
import { connect, isIP } from 'node:net';
import { networkInterfaces } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';

import type { WorldAddress } from '../native/index.js';

/** Whether only processes of this machine can connect: as in native/train/process_group.cc, which binds no other address for that. */
export function isLoopback(host: string): boolean {
  return host === 'localhost' || (isIP(host) === 4 && host.startsWith('127.'));
}

/** The address of each network interface that leads to other machines, by name. */
export function addressesByInterface(): Map<string, string> {
  const found = new Map<string, string>();
  for (const [name, addresses = []] of Object.entries(networkInterfaces())) {
    const outer = addresses.filter(({ internal, address }) => !internal && !address.startsWith('fe80:'));
    const best = outer.find(({ family }) => family === 'IPv4') ?? outer[0];
    if (best !== undefined) found.set(name, best.address);
  }
  return found;
}

/**
 * Waits until something listens at a port.
 *
 * @param timeout milliseconds
 * @returns the address by which this machine is seen there. Where the host's name is loopback here, as that of the machine itself often is
 *   in /etc/hosts, that of the only interface that leads to others, or else loopback.
 * @throws what the last attempt ended with
 */
export async function reach({ host, port, timeout }: WorldAddress): Promise<string> {
  const deadline = performance.now() + timeout;
  for (;;) {
    try {
      const own = await connectOnce(host, port, deadline - performance.now());
      if (!isLoopback(own)) return own;
      const [only = own, ...more] = addressesByInterface().values();
      return more.length === 0 ? only : own;
    } catch (error) {
      if (performance.now() + RETRY > deadline) throw error;
      await sleep(RETRY);
    }
  }
}

/** Milliseconds between two attempts. */
const RETRY = 100;

async function connectOnce(host: string, port: number, timeout: number): Promise<string> {
  const socket = connect({ host, port });
  const timer = setTimeout(() => socket.destroy(new Error('no answer')), timeout);
  try {
    await once(socket, 'connect');
    return socket.localAddress?.replace(/^::ffff:/, '') ?? host;
  } finally {
    clearTimeout(timer);
    socket.destroy();
  }
}
