// Keeps a few asynchronous results in preparation while the consumer is busy with an earlier one.

/** Calls `make` for each input, at most `ahead` calls before their results are taken; the order is kept. */
export async function* prefetch<In, Out>(
  inputs: Iterable<In>,
  make: (input: In) => Promise<Out>,
  ahead: number,
): AsyncGenerator<Out> {
  const pending: Promise<Out>[] = [];
  const iterator = inputs[Symbol.iterator]();
  const fill = (): void => {
    while (pending.length < ahead) {
      const next = iterator.next();
      if (next.done === true) return;
      const result = make(next.value);
      result.catch(() => undefined); // reported when its turn comes, not as an unhandled rejection before
      pending.push(result);
    }
  };
  for (fill(); pending.length > 0; fill()) {
    const result = pending.shift();
    if (result !== undefined) yield await result;
  }
}
