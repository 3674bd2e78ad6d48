// Numbers with what they count.

/** `1 row`, `2 rows`, `0 rows`. */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}
