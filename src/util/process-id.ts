// Which process this is and whether another one still runs, beyond its number: numbers are used again and again.
import { readFile, readlink } from 'node:fs/promises';
import { hostname } from 'node:os';
import { z } from 'zod';

import { errorCode } from './errors.js';

export const processId = z.object({
  pid: z.int().positive(),
  host: z.string(),
  /** The running system: differs after a reboot. Empty where the system has none, as outside Linux. */
  boot: z.string(),
  /** What the number counts in: containers count for themselves. */
  namespace: z.string(),
  /** When it began, in the kernel's ticks since the boot, which no clock moves. */
  start: z.string(),
});

/** A process, as others may know it again. */
export type ProcessId = z.infer<typeof processId>;

export async function ownProcess(): Promise<ProcessId> {
  const { pid } = process;
  return {
    pid,
    host: hostname(),
    boot: await orEmpty(readFile('/proc/sys/kernel/random/boot_id', 'utf8')),
    namespace: await orEmpty(readlink('/proc/self/ns/pid')),
    start: (await statOf(pid))?.start ?? '',
  };
}

export function isSameProcess(a: ProcessId, b: ProcessId): boolean {
  return a.pid === b.pid && a.start === b.start && canSee(a, b);
}

/** Whether a process runs, as far as another one (`from`) can see. */
export async function judgeOf(other: ProcessId, from: ProcessId): Promise<'alive' | 'dead' | 'unknown'> {
  if (!canSee(other, from)) return 'unknown';
  if (other.start === '') return isNumberInUse(other.pid) ? 'alive' : 'dead';
  const stat = await statOf(other.pid);
  const isIt = stat !== null && stat.start === other.start;
  return isIt && !ENDED.has(stat.state) ? 'alive' : 'dead';
}

/** Killed, but not yet buried by its parent. */
const ENDED = new Set(['Z', 'X']);

function canSee(a: ProcessId, b: ProcessId): boolean {
  return a.host === b.host && a.boot === b.boot && a.namespace === b.namespace;
}

/** Of /proc/<pid>/stat; the name in parentheses may hold anything. */
async function statOf(pid: number): Promise<{ state: string; start: string } | null> {
  const text = await orEmpty(readFile(`/proc/${pid}/stat`, 'utf8'));
  const [state, ...rest] = text.slice(text.lastIndexOf(')') + 2).split(' ');
  const start = rest[18];
  return state === undefined || start === undefined ? null : { state, start };
}

function isNumberInUse(pid: number): boolean {
  try {
    return process.kill(pid, 0); // signal 0 only asks
  } catch (error) {
    return errorCode(error) !== 'ESRCH';
  }
}

async function orEmpty(text: Promise<string>): Promise<string> {
  return (await text.catch(() => '')).trim();
}
