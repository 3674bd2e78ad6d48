// How many tokens of each text stay: `longest_first`, transformers' default strategy.

/**
 * The kept lengths of a pair. The longer text gives way until both are equal, then both share what is left and the
 * longer one gets the odd token. Source: `truncate_encodings` in tokenizers/src/utils/truncation.rs.
 *
 * @param budget what may stay of both together, special tokens not counted
 */
export function longestFirst(first: number, second: number, budget: number): [first: number, second: number] {
  if (first + second <= budget) return [first, second];
  const shorter = Math.min(first, second);
  let kept: [number, number] = [shorter, Math.max(shorter, budget - shorter)];
  if (kept[0] + kept[1] > budget) kept = [Math.floor(budget / 2), Math.ceil(budget / 2)];
  return first > second ? [kept[1], kept[0]] : kept;
}
