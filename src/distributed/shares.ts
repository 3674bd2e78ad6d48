// Which rows of an optimizer step each process takes, and what is left in common when it has taken them: places. Pure functions of
// the lengths of the rows.

/** What one process has of a micro-batch. */
export interface Share {
  readonly rows: Uint32Array;
  /**
   * Of each of these rows how many tokens and rows of the whole optimizer step are before it: dropout is a function of that, so
   * that it drops the same whoever has the row.
   */
  readonly places: { readonly tokens: Int32Array; readonly sequences: Int32Array };
}

/**
 * The rows of one process of each micro-batch of a step.
 *
 * @param step the rows of all processes, micro-batch by micro-batch
 * @param lengths tokens of every row of the data
 * @returns as many as there are micro-batches; those of a process that gets nothing have no rows
 */
export function sharesOf(
  step: readonly Uint32Array[],
  lengths: ArrayLike<number>,
  { rank, size }: { rank: number; size: number },
): Share[] {
  let tokens = 0;
  let sequences = 0;
  return step.map((rows) => {
    const places = Array.from(rows, (row) => {
      const place = { row, token: tokens, sequence: sequences };
      tokens += lengths[row] ?? 0;
      sequences += 1;
      return place;
    });
    const owners = balance(
      Array.from(rows, (row) => lengths[row] ?? 0),
      size,
    );
    const mine = places.filter((_, i) => owners[i] === rank);
    return {
      rows: Uint32Array.from(mine, ({ row }) => row),
      places: {
        tokens: Int32Array.from(mine, ({ token }) => token),
        sequences: Int32Array.from(mine, ({ sequence }) => sequence),
      },
    };
  });
}

/**
 * Who takes which row, so that all have about as many tokens: the longest row first, each for the process that has fewest tokens by
 * then (Graham 1969, longest processing time first).
 *
 * @returns a rank for each length
 */
export function balance(lengths: readonly number[], size: number): number[] {
  const load = Array.from({ length: size }, () => 0);
  const owners = lengths.map(() => 0);
  const order = lengths.map((_, i) => i).toSorted((a, b) => (lengths[b] ?? 0) - (lengths[a] ?? 0) || a - b);
  for (const i of order) {
    const rank = load.indexOf(Math.min(...load));
    owners[i] = rank;
    load[rank] = (load[rank] ?? 0) + (lengths[i] ?? 0);
  }
  return owners;
}
