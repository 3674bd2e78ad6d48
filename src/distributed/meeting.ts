// How the processes of one training find each other at a store. Rank 0 knows who is missing or was started differently and tells all
// of them; and what an earlier training has left at the same store, as torchrun's lives on over restarts, is never taken for this one's.
import { randomUUID } from 'node:crypto';
import { hostname } from 'node:os';
import { setTimeout as sleep } from 'node:timers/promises';
import { z } from 'zod';

import type { NativeWorld, WorldAddress } from '../native/index.js';
import { RunError } from '../util/errors.js';
import { listed } from '../util/text.js';
import { addressesByInterface, isLoopback } from './interfaces.js';

type Store = Pick<NativeWorld, 'get' | 'set'>;

/** What a process says of itself. Each start has an id of its own. */
const helloSchema = z.object({
  id: z.string(),
  size: z.number(),
  host: z.string(),
  address: z.string(),
  interfaces: z.array(z.string()),
});
type Hello = z.infer<typeof helloSchema>;

/** What rank 0 says to it: a name that only this training has and the machine that rank 0 is on, or why there is no training. */
const answerSchema = z.object({ training: z.string(), host: z.string(), problem: z.string().nullable() });
type Answer = z.infer<typeof answerSchema>;

/** Milliseconds between two looks at the store. */
const POLL = 50;

/** Milliseconds for rank 0's reason to reach the others. */
const GRACE = 3000;

/**
 * Waits at a store until all processes are there.
 *
 * @param seen the address by which this process is seen from the store
 * @returns the address of what these processes have in common, and no others; and whether rank 0 is on this machine
 * @throws RunError that names who is missing, or does not fit
 */
export async function meet(
  store: Store,
  address: WorldAddress,
  seen: string,
): Promise<{ address: WorldAddress; isBesideMain: boolean }> {
  const own: Hello = {
    id: randomUUID(),
    size: address.size,
    host: hostname(),
    address: address.interface === '' ? seen : address.interface,
    interfaces: [...addressesByInterface().keys()],
  };
  const { training, host, problem } = await (address.rank === 0 ? receive : ask)(store, address, own);
  if (problem !== null) throw new RunError(problem);
  const prefix = `${address.prefix}/${training}`;
  return {
    address: { ...address, isServer: false, prefix, interface: own.address },
    isBesideMain: host === own.host,
  };
}

/** Rank 0's part: answers all that come, until each has heard it. */
async function receive(store: Store, address: WorldAddress, own: Hello): Promise<Answer> {
  const others = Array.from({ length: address.size - 1 }, (_, i) => i + 1);
  for (const rank of others) await store.set(`hello/${rank}`, ''); // of an earlier training
  const answer: Answer = { training: own.id, host: own.host, problem: null };
  const deadline = performance.now() + address.timeout;
  let end = Infinity;
  const answered = new Set<string>();
  for (;;) {
    const hellos = [own, ...(await Promise.all(others.map((rank) => helloOf(store, rank))))];
    const missing = hellos.flatMap((hello, rank) => (hello === undefined ? [rank] : []));
    const isLate = performance.now() > deadline;
    if (answer.problem === null && answered.size === 0)
      answer.problem =
        misfit(hellos, address) ?? (isLate && missing.length > 0 ? absence(missing, address) : null);
    if (answer.problem !== null || isLate) end = Math.min(end, performance.now() + GRACE);
    const present = hellos.slice(1).filter((hello) => hello !== undefined);
    const isDecided = missing.length === 0 || answer.problem !== null;
    for (const { id } of isDecided ? present : []) {
      if (!answered.has(id)) await store.set(`answer/${id}`, JSON.stringify(answer));
      answered.add(id);
    }
    const heard = await Promise.all(present.map(({ id }) => store.get(`heard/${id}`)));
    if (isDecided && (heard.every((text) => text !== undefined) || performance.now() > end)) return answer;
    await sleep(POLL);
  }
}

/** The part of the others. They say hello time and again: the store may be there before rank 0 is. */
async function ask(store: Store, address: WorldAddress, own: Hello): Promise<Answer> {
  const deadline = performance.now() + address.timeout + GRACE / 2;
  while (performance.now() < deadline) {
    await store.set(`hello/${address.rank}`, JSON.stringify(own));
    const text = await store.get(`answer/${own.id}`);
    if (text !== undefined) {
      await store.set(`heard/${own.id}`, 'yes');
      return answerSchema.parse(JSON.parse(text));
    }
    await sleep(POLL);
  }
  return { training: '', host: '', problem: absence([0], address) };
}

async function helloOf(store: Store, rank: number): Promise<Hello | undefined> {
  const text = await store.get(`hello/${rank}`);
  return text === undefined || text === '' ? undefined : helloSchema.parse(JSON.parse(text));
}

/** Why processes that are there cannot train together. */
function misfit(hellos: readonly (Hello | undefined)[], { host: meetingPlace }: WorldAddress): string | null {
  const [first] = hellos;
  const hosts = new Set(hellos.map((hello) => hello?.host).filter((host) => host !== undefined));
  for (const [rank, hello] of hellos.entries()) {
    if (hello === undefined || first === undefined) continue;
    const { size, host, address, interfaces } = hello;
    if (size !== first.size)
      return `Rank ${rank} was started as one of ${size} processes and rank 0 as one of ${first.size}: start all with the same WORLD_SIZE`;
    if (hosts.size > 1 && isLoopback(address) && !isLoopback(meetingPlace))
      return (
        `Rank ${rank} cannot be reached by those on other machines: on ${host} MASTER_ADDR ${meetingPlace} is ${address}; ` +
        `set GLOO_SOCKET_IFNAME there to the network interface that leads to them (${listed(interfaces)})`
      );
  }
  return null;
}

function absence(missing: readonly number[], { rank, size, host, port, timeout }: WorldAddress): string {
  const who = `${missing.length === 1 ? 'rank' : 'ranks'} ${listed(missing.map(String))} of ${size}`;
  return (
    `Rank ${rank} did not meet ${who} at ${host}:${port} within ${timeout / 1000} s: ` +
    'check that each was started, with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE'
  );
}
