// THE option table: every option once, with its type, default, check, help, commands, and its role when a run is resumed.
// Flags, config files, `--help`, docs/options.md and the TypeScript types all come from here. Names and defaults are those of
// Hugging Face's TrainingArguments and run_classification.py (transformers 5.18) wherever those have one.
import { inputOptions } from './input-options.js';
import { runOptions } from './run-options.js';
import { trainingOptions } from './training-options.js';

/** Every option of every command, in the order of the help. */
export const options = { ...inputOptions, ...trainingOptions, ...runOptions };

export type OptionName = keyof typeof options;
