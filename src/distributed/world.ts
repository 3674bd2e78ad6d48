// The processes of one training, as the rest of the program sees them. A process that trains alone has a world of size 1, so that
// nothing else asks how many there are.
import { setTimeout as sleep } from 'node:timers/promises';

import {
  loadAddon,
  type NativeWorld,
  type ReduceOptions,
  type Session,
  type WorldAddress,
} from '../native/index.js';
import { messageOf, RunError } from '../util/errors.js';
import { counted } from '../util/text.js';
import { isLoopback, reach } from './interfaces.js';
import { meet } from './meeting.js';

/**
 * The processes of one training. Every process makes the same calls in the same order; each waits for all the others, no longer than the
 * timeout of the address. A call that depends on the rank (`if (world.isMain) await world.sum(...)`) waits in vain, or takes the numbers
 * of another call for its own; what depends on the rank is what is given, and what is made of the result. `fromMain` is for what one
 * process alone finds out.
 *
 * @example
 * ```ts
 * import { openWorld, Trainer, worldAddress, type TrainerParts, type World } from 'bertune';
 *
 * // Started by torchrun: each process trains with its part of every batch.
 * export async function trainTogether(parts: TrainerParts): Promise<void> {
 *   const world: World = await openWorld(worldAddress(process.env, 600_000));
 *   const trainer = new Trainer({ ...parts, world });
 *   try {
 *     await trainer.train();
 *     if (world.isMain) await parts.model.savePretrained('out');
 *   } finally {
 *     await trainer.close();
 *     await world.close();
 *   }
 * }
 * ```
 */
export interface World {
  /** From 0; the process of rank 0 logs and writes files. */
  readonly rank: number;
  readonly size: number;
  readonly isMain: boolean;
  /** Sums over all processes, value by value; the same bits everywhere. */
  sum(values: readonly number[]): Promise<number[]>;
  /** Whether it is true of any process. */
  any(condition: boolean): Promise<boolean>;
  /** What each process gives, by rank. JSON values. */
  gather<T>(value: T): Promise<T[]>;
  /** What rank 0 gives; the others give nothing that counts. JSON values. */
  fromMain<T>(make: () => Promise<T>): Promise<T>;
  /**
   * Sums the gradients of a session's updates over all processes from now on.
   *
   * @returns why gradients on GPUs go through the memory of the host, in one line; empty where they do not, and on CPUs
   */
  join(session: Session, options: ReduceOptions): Promise<string>;
  /** Calls that may be under way beside those of this world, in an order of their own. */
  channel(name: string): Promise<World>;
  /**
   * What another process has to do with an error of this one.
   *
   * @returns an error that names it, or the same error where it is this process's own
   */
  explain(error: unknown): Promise<unknown>;
  /**
   * Leaves, so that nobody waits for this process, and lets the others know why.
   *
   * @returns whether rank 0, on this machine, ends with the same message, so that this process need not show it
   */
  fail(error: unknown): Promise<boolean>;
  close(): Promise<void>;
}

/** The world of a process that trains by itself. */
export const ALONE: World = {
  rank: 0,
  size: 1,
  isMain: true,
  sum: (values) => Promise.resolve([...values]),
  any: (condition) => Promise.resolve(condition),
  gather: (value) => Promise.resolve([value]),
  fromMain: (make) => make(),
  join: async (session) => {
    await session.leave();
    return '';
  },
  channel: () => Promise.resolve(ALONE),
  explain: (cause) => Promise.resolve(cause),
  fail: () => Promise.resolve(false),
  close: () => Promise.resolve(),
};

/** Milliseconds from one sign of life to the next. */
const HEARTBEAT = 1000;

/** After so many of them without a sign a process counts as gone. */
const PATIENCE = 3;

/**
 * Meets the other processes.
 *
 * @param address null for a process that is alone
 * @throws RunError when they are not all there within the address' timeout
 *
 * @example
 * ```ts
 * import { openWorld, Trainer, worldAddress, type TrainerParts, type World } from 'bertune';
 *
 * // Started by torchrun: each process trains with its part of every batch.
 * export async function trainTogether(parts: TrainerParts): Promise<void> {
 *   const world: World = await openWorld(worldAddress(process.env, 600_000));
 *   const trainer = new Trainer({ ...parts, world });
 *   try {
 *     await trainer.train();
 *     if (world.isMain) await parts.model.savePretrained('out');
 *   } finally {
 *     await trainer.close();
 *     await world.close();
 *   }
 * }
 * ```
 */
export async function openWorld(address: WorldAddress | null): Promise<World> {
  if (address === null) return ALONE;
  const native = new (loadAddon().World)(address);
  try {
    // c10d would try again for longer than it may, and print pages of it.
    // NCCL chooses an interface by itself, which may lead to other machines. It reads this when it is first used.
    const socketInterface = isLoopback(address.host) ? '=lo' : process.env['GLOO_SOCKET_IFNAME'];
    if (socketInterface !== undefined) process.env['NCCL_SOCKET_IFNAME'] ??= socketInterface;
    if (!address.isServer) await reach(address);
    await native.openStore();
    const met = await meet(native, address, await reach(address));
    await native.openGroup(met.address);
    return new Processes(met.address, native, met);
  } catch (error) {
    await native.close();
    throw error instanceof RunError ? error : new RunError(meetingProblem(address, firstLine(error)));
  }
}

function meetingProblem({ rank, size, host, port, isServer, timeout }: WorldAddress, reason: string): string {
  const where = `${host}:${port}`;
  if (isServer && /EADDRINUSE|address already in use/i.test(reason))
    return `Rank 0 cannot wait for the others at ${where}: the port is in use; set MASTER_PORT to another one, the same for all`;
  const whom = isServer
    ? `the other ${counted(size - 1, 'process', 'processes')}`
    : 'rank 0, or the store of its launcher,';
  return (
    `Rank ${rank} did not meet ${whom} at ${where} within ${timeout / 1000} s (${reason}). ` +
    'Check that all were started, with the same MASTER_ADDR, MASTER_PORT and WORLD_SIZE, and that the port is open between their machines.'
  );
}

class Processes implements World {
  readonly rank: number;
  readonly size: number;
  readonly #address: WorldAddress;
  readonly #native: NativeWorld;
  readonly #channels: Processes[] = [];
  readonly #isBesideMain: boolean;
  readonly #heart: NodeJS.Timeout | undefined;
  #beats = 0;
  #sessions = 0;
  #isClosed = false;

  constructor(
    address: WorldAddress,
    native: NativeWorld,
    { isBesideMain, hasHeart = true }: { isBesideMain: boolean; hasHeart?: boolean },
  ) {
    this.rank = address.rank;
    this.size = address.size;
    this.#address = address;
    this.#native = native;
    this.#isBesideMain = isBesideMain;
    if (!hasHeart) return;
    this.#heart = setInterval(() => this.#beat(), HEARTBEAT).unref();
    this.#beat();
  }

  get isMain(): boolean {
    return this.rank === 0;
  }

  async sum(values: readonly number[]): Promise<number[]> {
    return Array.from(await withOthers(this.#native.sum(Float64Array.from(values))));
  }

  async any(condition: boolean): Promise<boolean> {
    const [count = 0] = await this.sum([condition ? 1 : 0]);
    return count > 0;
  }

  async gather<T>(value: T): Promise<T[]> {
    const texts = await withOthers(this.#native.gather(JSON.stringify({ value })));
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- written by the same line of the other processes
    return texts.map((text) => (JSON.parse(text) as { value: T }).value);
  }

  async fromMain<T>(make: () => Promise<T>): Promise<T> {
    const mine = this.isMain ? await make() : undefined;
    const [first] = await this.gather(mine);
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion -- rank 0 gave a T
    return first as T;
  }

  async join(session: Session, options: ReduceOptions): Promise<string> {
    this.#sessions += 1;
    return withOthers(session.join(this.#address, `session ${this.#sessions}`, options));
  }

  async channel(name: string): Promise<World> {
    // Numbered: a second one of a name would find where the first one's processes were.
    const prefix = `${this.#address.prefix}/${name} ${this.#channels.length + 1}`;
    const address = { ...this.#address, prefix };
    const native = new (loadAddon().World)(address);
    await native.openStore();
    await withOthers(native.openGroup(address));
    const channel = new Processes(address, native, { isBesideMain: this.#isBesideMain, hasHeart: false });
    this.#channels.push(channel);
    return channel;
  }

  async explain(error: unknown): Promise<unknown> {
    if (!isOfOthers(error)) return error;
    const failures = await this.#ask('failed');
    if (failures === null) return this.isMain ? error : new RunError(`${STORE_GONE} (${firstLine(error)})`);
    const told = this.#toldBy(failures);
    if (told !== null) return told;
    const before = await this.#ask('alive');
    await sleep(HEARTBEAT * PATIENCE);
    const after = await this.#ask('alive');
    const late = this.#toldBy((await this.#ask('failed')) ?? []);
    if (late !== null) return late;
    const gone = Array.from({ length: this.size }, (_, rank) => rank).filter(
      (rank) => rank !== this.rank && before?.[rank] === after?.[rank],
    );
    if (gone.length === 0 || gone.length === this.size) return error;
    return new RunError(
      `${gone.length === 1 ? 'Rank' : 'Ranks'} ${gone.join(', ')} of ${this.size} gave no sign for ${counted(PATIENCE, 'second')}: ` +
        `killed, stopped, or out of reach (${firstLine(error)})`,
    );
  }

  async fail(cause: unknown): Promise<boolean> {
    await inTime(this.#native.set(this.#key('failed', this.rank), firstLine(cause))).catch(() => undefined);
    for (const native of [this.#native, ...this.#channels.map((channel) => channel.#native)])
      await inTime(native.leave()).catch(() => undefined);
    // The others read the reason from the store that rank 0 may have, and compare it with theirs.
    for (let i = 0; i < 2 * PATIENCE; i++) {
      const failures = await this.#ask('failed');
      if (failures === null) return false;
      const [main] = failures;
      if (!this.isMain && main !== undefined) return this.#isBesideMain && isSame(firstLine(cause), main);
      // Once more when all have ended, for those who have yet to look.
      if (failures.every((text) => text !== undefined)) i = 2 * PATIENCE;
      await sleep(HEARTBEAT);
    }
    return false;
  }

  async close(): Promise<void> {
    if (this.#isClosed) return;
    this.#isClosed = true;
    clearInterval(this.#heart);
    for (const channel of this.#channels) await channel.close();
    // A thread that waits for a store without an answer would keep the process from its end.
    await inTime(this.#native.close()).catch(() => {
      process.prependListener('exit', () => process.kill(process.pid, 'SIGKILL'));
    });
  }

  /** The reason of another process that ended by itself, first of one that does not only repeat another's. */
  #toldBy(failures: readonly (string | undefined)[]): RunError | null {
    const others = failures
      .map((text, rank) => ({ text: text ?? '', rank }))
      .filter(({ text, rank }) => text !== '' && rank !== this.rank);
    const found = others.find(({ text }) => !isAboutAnother(text)) ?? others[0];
    if (found === undefined) return null;
    return new RunError(isAboutAnother(found.text) ? found.text : `Rank ${found.rank} failed: ${found.text}`);
  }

  /** What all processes have in the store under a key; null where there is no store any more. */
  async #ask(name: string): Promise<(string | undefined)[] | null> {
    try {
      const all = Array.from({ length: this.size }, (_, rank) => this.#native.get(this.#key(name, rank)));
      return await inTime(Promise.all(all));
    } catch {
      return null;
    }
  }

  /** In the store that is open, which earlier trainings may have used. */
  #key(name: string, rank: number): string {
    return `${this.#address.prefix}/${name}/${rank}`;
  }

  #beat(): void {
    this.#beats += 1;
    this.#native.set(this.#key('alive', this.rank), String(this.#beats)).catch(() => undefined);
  }
}

const STORE_GONE = 'Rank 0, or its launcher, is gone or does not answer';

/** The store answers at once; where the process that has it was stopped, it never does. */
async function inTime<T>(call: Promise<T>): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new RunError(STORE_GONE)), PATIENCE * HEARTBEAT);
  });
  try {
    return await Promise.race([call, late]);
  } finally {
    clearTimeout(timer);
  }
}

/** Whether a message tells of another process why it ended, or names one that is gone. */
function isAboutAnother(text: string): boolean {
  return /^Ranks? \d+\b.* (?:failed:|gave no sign)/.test(text) || text.startsWith(STORE_GONE);
}

/** Rank 0 may add how the training is continued. */
function isSame(mine: string, main: string): boolean {
  return main.startsWith(mine.replace(/\.$/, '')) || mine === `Rank 0 failed: ${main}`;
}

/** A call that needs all processes failed. */
class PeerError extends RunError {}

async function withOthers<T>(call: Promise<T>): Promise<T> {
  try {
    return await call;
  } catch (error) {
    throw new PeerError(messageOf(error), { cause: error });
  }
}

/** Whether an error may come from another process; the second is native/train/training.cc's. */
function isOfOthers(error: unknown): boolean {
  const text = messageOf(error);
  if (isAboutAnother(text)) return false; // explained already
  return error instanceof PeerError || text.includes('the gradients of all processes could not be summed');
}

function firstLine(error: unknown): string {
  return messageOf(error).split('\n', 1)[0] ?? '';
}
