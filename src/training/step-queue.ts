// Keeps one native step running and one waiting behind it, and counts the time in which there was none.

export class StepQueue {
  /** Seconds in which a step could have run but none was there yet. */
  idleSeconds = 0;
  #running = 0;
  #idleSince: number | null = null;
  #previous: Promise<unknown> = Promise.resolve();

  /** Starts a step's native calls and waits until the step before is done. @throws what that step threw */
  async push(start: () => Promise<unknown>[]): Promise<void> {
    if (this.#idleSince !== null) this.idleSeconds += (performance.now() - this.#idleSince) / 1000;
    this.#idleSince = null;
    this.#running += 1;
    const calls = start();
    const done = Promise.all(calls).finally(() => {
      if (--this.#running === 0) this.#idleSince = performance.now();
    });
    done.catch(() => undefined); // reported by the next push or drain
    const previous = this.#previous;
    this.#previous = done;
    await previous;
  }

  /** Waits for all steps. What happens until the next push does not count as waiting for data. */
  async drain(): Promise<void> {
    await this.#previous;
    this.#idleSince = null;
  }
}
