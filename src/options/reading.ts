// What a model was trained to read: columns, quoting, length and so on. These settings are part of the model's folder, so that
// `evaluate` and `predict` read the same without being asked to.
import type { PresumedOption } from '../data/source.js';
import type { ReadingSettings } from '../formats/model-folder.js';
import { UsageError } from '../util/errors.js';
import type { Command, TrainOptions } from './commands.js';
import { kebabCase, type Option } from './option.js';
import { options as table } from './table.js';

/** Only those of the options that decide what is read. */
export function readingOf<T extends object>(options: T): Partial<T> {
  // Some of the own entries of T are those of a partial T.
  // oxlint-disable-next-line typescript/no-unsafe-type-assertion
  return Object.fromEntries(
    Object.entries(options).filter(([name]) => optionOf(name) !== undefined),
  ) as Partial<T>;
}

/** What of a training's options is saved with the model: all that are not as without them, and the columns that it read. */
export function readingSettings(
  options: Partial<TrainOptions>,
  { text, textPair, label }: ColumnsRead,
): ReadingSettings {
  const own = Object.entries(readingOf(options)).filter(
    ([name, value]) => value !== undefined && optionOf(name)?.fallback !== value,
  );
  return {
    textColumn: text,
    ...(textPair !== null && { textPairColumn: textPair }),
    ...(label !== null && { labelColumn: [label].flat() }),
    ...Object.fromEntries(own),
  };
}

interface ColumnsRead {
  readonly text: string;
  readonly textPair: string | null;
  readonly label: string | readonly string[] | null;
}

/**
 * The options of a command, with those of the training where none were given; and a note of both.
 *
 * @param trained the settings of the model's folder
 * @param where the folder, for messages
 * @throws UsageError for settings that are damaged, or of a version that has more of them
 */
export function withReading<T extends object>(
  command: Pick<Command, 'options'>,
  options: T,
  trained: ReadingSettings,
  where: string,
): { options: T; notes: string[] } {
  const given = new Map<string, unknown>(Object.entries(options).filter(([, value]) => value !== undefined));
  const isGone = setAside(given, trained);
  const taken: [string, unknown][] = [];
  const overridden: string[] = [];
  for (const [name, value] of Object.entries(trained)) {
    const parsed = optionOf(name)?.kind.schema.safeParse(value);
    if (parsed?.success !== true)
      throw new UsageError(
        `${where}: bertune_reading.json has ${name} ${JSON.stringify(value)}, which this version does not read; correct the file, or remove it and give the columns as flags`,
      );
    if (!Object.hasOwn(command.options, name)) continue;
    const own = given.get(name);
    if (own !== undefined && !isSame(own, parsed.data))
      overridden.push(`${flag(name, own)} in place of ${flag(name, parsed.data)}`);
    else if (own === undefined && !isGone(name)) taken.push([name, parsed.data]);
  }
  // A training saves what is not as without options.
  const isOfTraining = trained['textColumn'] !== undefined;
  for (const [name, own] of isOfTraining ? given : []) {
    const usual = optionOf(name)?.fallback;
    if (!Object.hasOwn(trained, name) && usual !== undefined && !isSame(own, usual))
      overridden.push(`${flag(name, own)} in place of ${flag(name, usual)}`);
  }
  const all = { ...options, ...Object.fromEntries(taken) };
  return {
    // Without what may be missing it is still of type T.
    // oxlint-disable-next-line typescript/no-unsafe-type-assertion
    options: Object.fromEntries(Object.entries(all).filter((entry) => !isOff(entry))) as T,
    notes: [
      ...(taken.length === 0
        ? []
        : [`note: read as in the training: ${taken.map(([name, value]) => flag(name, value)).join(' ')}`]),
      ...(overridden.length === 0 ? [] : [`note: other than in the training: ${overridden.join(', ')}`]),
    ],
  };
}

const PRESUMED = [
  'encoding',
  'jsonField',
  'textColumn',
  'labelColumn',
  'softLabels',
] as const satisfies PresumedOption[];

/** How the files of the training were written, which others may not be: what of that was not asked for. */
export function presumedOf(asked: Readonly<Partial<Record<PresumedOption, unknown>>>): PresumedOption[] {
  const names = PRESUMED.filter((name) => asked[name] === undefined);
  // A column that was named has what the training had.
  return asked.labelColumn === undefined ? names : names.filter((name) => name !== 'softLabels');
}

/** Sets aside what the training had of these, which have no other value that means that there is none. */
const OFF = 'none';
const CAN_BE_OFF = new Set(['textPairColumn', 'escape', 'jsonField', 'stride']);

function isOff([name, value]: [string, unknown]): boolean {
  return value === OFF && CAN_BE_OFF.has(name);
}

/** Which settings of the training do not hold beside what was given: those that are tied to others of it. */
function setAside(given: ReadonlyMap<string, unknown>, trained: ReadingSettings): (name: string) => boolean {
  const isOther = (name: string): boolean => given.has(name) && !isSame(given.get(name), trained[name]);
  const columnIs = (name: string, other: string): boolean =>
    given.has(other) && isSame(given.get(other), trained[name]);
  // The form of one label column, such as one of probabilities, is not that of another.
  const isOtherLabel = isOther('labelColumn');
  const isOtherForm = isOther('labelFormat') || isOther('softLabels');
  const gone: Readonly<Record<string, boolean>> = {
    labelFormat: isOtherLabel || isOtherForm,
    labelDelimiter: isOtherLabel || isOtherForm,
    softLabels: isOtherLabel || isOtherForm,
    textColumn: columnIs('textColumn', 'textPairColumn'),
    textPairColumn: columnIs('textPairColumn', 'textColumn'),
    pooling: given.get('stride') === OFF,
  };
  return (name) => gone[name] === true;
}

function isSame(one: unknown, other: unknown): boolean {
  return JSON.stringify(one) === JSON.stringify(other);
}

function flag(name: string, value: unknown): string {
  const words = [value].flat().map((word) => {
    const text = String(word);
    return /^[\w.,:+@%/-]+$/.test(text) ? text : JSON.stringify(text);
  });
  return `--${kebabCase(name)} ${words.join(' ')}`;
}

function optionOf(name: string): Option | undefined {
  const option = Object.entries<Option>(table).find(([own]) => own === name)?.[1];
  return option?.reading === true ? option : undefined;
}
