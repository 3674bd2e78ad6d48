// Numbers with what they count, and lists cut to what a person can take in.

/** `1 row`, `2 rows`, `0 rows`. */
export function counted(number: number, one: string, many = `${one}s`): string {
  return `${number} ${number === 1 ? one : many}`;
}

/** The first names, and where there are more of them how many there are. */
export function listed(names: readonly string[], most = 12): string {
  return names.length > most ? `${names.slice(0, most).join(', ')} ... (${names.length})` : names.join(', ');
}
