// Options as a person wrote them, each with where it stands, from a file, the command line or a script.
import { kebabCase } from './names.js';

/** One option as written. */
export interface Entry {
  /** The name without dashes, to be looked up. */
  readonly written: string;
  /** The name as messages show it, e.g. `--learning-rate`. */
  readonly name: string;
  /** Before a message about the name: `run.json:3:5: `, or nothing. */
  readonly at: string;
  /** Before a message about the value. */
  readonly valueAt: string;
  readonly value: unknown;
  /** The value is text of a command line, still to be read as a number or a truth value. */
  readonly isText?: boolean;
}

/** Options of the command line, keyed by flag name in any case: text, lists of text, `true` for a bare flag. */
export function flagEntries(flags: Readonly<Record<string, unknown>>): Entry[] {
  return given(flags).map(([written, value]) => {
    const name = `--${kebabCase(written)}`;
    return { written, name, at: '', valueAt: '', value, isText: true };
  });
}

/** Options given by a script, as values. */
export function valueEntries(values: Readonly<Record<string, unknown>>): Entry[] {
  return given(values).map(([written, value]) => ({ written, name: written, at: '', valueAt: '', value }));
}

function given(values: Readonly<Record<string, unknown>>): [string, unknown][] {
  return Object.entries(values).filter(([, value]) => value !== undefined && value !== null);
}
