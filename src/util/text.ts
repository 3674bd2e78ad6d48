// Text out of files, made fit for a one-line message: a hostile or broken file has long names and line breaks.

/** The text in one line of at most 100 characters. */
export function oneLine(text: string): string {
  const line = text.replaceAll(/\s+/g, ' ');
  return line.length > 100 ? `${line.slice(0, 97)}...` : line;
}

/** A JSON value in one line of at most 100 characters, text in quotes. */
export function quoted(value: unknown): string {
  return oneLine(value === undefined ? 'undefined' : JSON.stringify(value));
}
