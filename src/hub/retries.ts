// What is tried again, how often and after how long.
import { setTimeout as sleep } from 'node:timers/promises';
import { RunError } from '../util/errors.js';

const ATTEMPTS = 5;
/** Seconds that one request may be waited for in all, whatever the hub asks for. */
const LONGEST_WAIT_S = 120;

/** The hub could not be reached, or said that it cannot answer now; the same request may succeed later. */
export class HubUnavailable extends RunError {
  /** Whether enough bytes came before it failed that a next attempt starts well further on. */
  progressed = false;

  constructor(
    message: string,
    /** False when no connection came about: then trying again at once rarely helps. */
    readonly connected: boolean,
    /** Seconds the hub asked to wait. */
    readonly retryAfter: number | null = null,
  ) {
    super(message);
  }
}

/**
 * Repeats `task` while it throws HubUnavailable: at once when it made progress, and else after 1, 2, 4, 8 seconds or as
 * long as the hub asks. The count starts anew with progress.
 */
export async function withRetries<T>(
  task: () => Promise<T>,
  worthwhile: (error: HubUnavailable) => boolean = () => true,
): Promise<T> {
  let failures = 0;
  let waited = 0;
  for (;;) {
    try {
      return await task();
    } catch (error) {
      if (!(error instanceof HubUnavailable) || !worthwhile(error)) throw error;
      if (error.progressed) [failures, waited] = [0, 0];
      else failures++;
      const wait = error.retryAfter ?? (failures === 0 ? 0 : 2 ** (failures - 1));
      waited += wait;
      if (failures >= ATTEMPTS || waited > LONGEST_WAIT_S) throw error;
      await sleep(wait * 1000);
    }
  }
}
