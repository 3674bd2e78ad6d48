// What a rule is: it looks at options that are right one by one and says where they do not fit together.
import type { OptionName } from '../options.js';

/** An option's name as the person wrote it, e.g. `--eval-steps`. */
export type NameOf = (name: OptionName) => string;

/** What is wrong, and the option at whose place in a file the message is shown. */
export interface Problem {
  readonly about: OptionName;
  readonly message: string;
}

export type Rule<T> = (options: T, name: NameOf) => Problem | undefined;
