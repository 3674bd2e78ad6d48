// Configuration files as bertune writes them: the options of a run with those first that decide it, and commented templates.
import { stringify } from 'yaml';
import { trainCommand, type TrainOptions } from './commands.js';
import { snakeCase } from './option.js';
import { parseTrainOptions } from './parse.js';

/**
 * The options of a training as a configuration that repeats it: first those without which it would be another, then the
 * rest, which have their defaults. Whether the run was resumed is left out, since the repetition starts at the first step.
 */
export function configOf(effective: TrainOptions): Record<string, unknown> {
  const { resumeFromCheckpoint: _, ...options } = effective;
  const { deciding, rest } = byEffect(options);
  return Object.fromEntries([...deciding, ...rest]);
}

/**
 * How a model was trained, for people who read of it: the options with which the result is another, as a configuration
 * names them, without those that say from what and where to.
 */
export function settingsOf(effective: TrainOptions): Record<string, unknown> {
  const { deciding } = byEffect(effective);
  return Object.fromEntries(
    deciding.flatMap(([name, value]) => {
      const option = trainCommand.options[name];
      const isShown =
        name === 'maxSeqLength' ||
        (option !== undefined && ['Training', 'Evaluation'].includes(option.group));
      return isShown && option?.onResume !== 'irrelevant' ? [[snakeCase(name), value]] : [];
    }),
  );
}

/** The options of a training without which it would be another, all of them, and of whatever group. */
export function differingOptions(effective: TrainOptions): Record<string, unknown> {
  return Object.fromEntries(byEffect(effective).deciding);
}

/** The options that a training has, in the order of the table: those without which it would be another, and the rest. */
function byEffect(
  options: Readonly<Record<string, unknown>>,
): Record<'deciding' | 'rest', [string, unknown][]> {
  const given = new Map<string, unknown>(Object.entries(options));
  const names = Object.keys(trainCommand.options).filter((name) => given.get(name) !== undefined);
  const same = canonical(options);
  const isDefault = (name: string): boolean => {
    const others = Object.fromEntries([...given].filter(([other]) => other !== name));
    try {
      return canonical(parseTrainOptions({ values: others }).options) === same;
    } catch {
      return false; // one that is needed
    }
  };
  const rest = new Set(names.filter(isDefault));
  const valued = (name: string): [string, unknown] => [name, given.get(name)];
  return { deciding: names.filter((name) => !rest.has(name)).map(valued), rest: [...rest].map(valued) };
}

function canonical(options: object): string {
  return JSON.stringify(Object.entries(options).toSorted(([a], [b]) => (a < b ? -1 : 1)));
}

/** One line of a template: an option with its value; `isOff`: as an alternative, behind a #. */
export interface TemplateLine {
  readonly name: keyof TrainOptions;
  readonly value: unknown;
  /** Why, or what it does; may be empty. */
  readonly comment: string;
  readonly isOff?: boolean;
}

/** A YAML configuration with comments. @param sections by their titles */
export function yamlTemplate(
  head: readonly string[],
  sections: Readonly<Record<string, readonly TemplateLine[]>>,
): string {
  const intro = head.map((line) => `# ${line}\n`).join('');
  const parts = Object.entries(sections).map(
    ([title, lines]) => `\n# ${title}\n${lines.map((line) => `${yamlLine(line)}\n`).join('')}`,
  );
  return `${intro}${parts.join('')}`;
}

function yamlLine({ name, value, comment, isOff = false }: TemplateLine): string {
  const written = `${snakeCase(name)}: ${yamlValue(value)}`;
  return [isOff ? `# ${written}` : written, ...(comment === '' ? [] : [`# ${comment}`])].join('  ');
}

function yamlValue(value: unknown): string {
  // In one line, whatever is in it: JSON is YAML.
  if (typeof value === 'object' && value !== null) return JSON.stringify(value);
  if (typeof value === 'number') {
    if (value === 0 || Math.abs(value) >= 1e-3) return String(value);
    // Python's YAML takes 5e-5 for a text; 5.0e-5 is a number everywhere.
    const [digits = '', exponent = ''] = value.toExponential().split('e');
    return `${digits.includes('.') ? digits : `${digits}.0`}e${exponent}`;
  }
  const plain = stringify(value, { lineWidth: 0 }).trimEnd();
  return plain.includes('\n') ? JSON.stringify(value) : plain;
}
