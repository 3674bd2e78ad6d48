// The data set card: the YAML at the head of its README.md, read within limits of time and memory.
import { Worker } from 'node:worker_threads';
import { parse } from 'yaml';
import { z } from 'zod';
import { messageOf, UsageError } from '../util/errors.js';
import { LONGEST_PATH, printable, UNPRINTABLE } from './repo.js';

/** Names of a ClassLabel column's integers, by column. */
export type ClassNames = Record<string, string[]>;

/** One configuration of a data set, as its card describes it. */
export interface CardConfig {
  readonly name: string;
  readonly isDefault: boolean;
  /** Glob patterns by split; null leaves it to the naming conventions. */
  readonly patterns: ReadonlyMap<string, readonly string[]> | null;
  /** Folder in the repository that the conventions start from; '' for the whole. */
  readonly folder: string;
  /** True when the card asks for a special way of reading (a separator, column names ...). */
  readonly needsReader: boolean;
}

/** The card's configurations, and the class names by configuration. */
export interface DatasetCard {
  readonly configs: readonly CardConfig[];
  readonly classNames: ReadonlyMap<string, ClassNames>;
}

/** Patterns of one split. */
const MOST_GLOBS = 10_000;

const name = z.union([z.string(), z.number()]).transform(String);
const configName = name.refine(
  (text) => text.length <= 255 && !UNPRINTABLE.test(text),
  'a name has at most 255 characters and no control characters',
);
const glob = z.string().max(LONGEST_PATH);
const globs = z.union([
  glob.transform((one) => [one]),
  z.array(z.unknown()).max(MOST_GLOBS).pipe(z.array(glob)),
]);
const splitName = name.refine(
  (split) => /^\w+(\.\w+)*$/.test(split),
  'a split name has letters, digits and _ only',
);
const dataFiles = z.union([
  globs.transform((paths) => new Map([['train', paths]])),
  z
    .array(z.object({ split: splitName, path: globs }))
    .transform((entries) => new Map(entries.map(({ split, path }) => [split, path]))),
]);
const config = z.looseObject({
  config_name: configName,
  data_files: dataFiles.optional(),
  data_dir: z.string().max(LONGEST_PATH).optional(),
  default: z.boolean().optional(),
  features: z.unknown().optional(),
});
const info = z.looseObject({ config_name: configName.default('default'), features: z.unknown().optional() });
const card = z.looseObject({
  configs: z.array(config).nullish(),
  dataset_info: z.union([z.array(info), info.transform((one) => [one])]).nullish(),
});

/** Keys of a configuration that do not change how its files are read. */
const PLAIN_KEYS = new Set([
  'config_name',
  'data_files',
  'data_dir',
  'default',
  'features',
  'description',
  'version',
]);

/**
 * Reads `configs` and `dataset_info` from the front matter of a README.md; a README without any gives an empty card.
 *
 * @param where how messages name the file
 * @throws UsageError for YAML that cannot be read or with other types under those keys
 */
export function parseDatasetCard(readme: string, where: string): DatasetCard {
  const yaml = /^\uFEFF?---[ \t]*\r?\n(.*?)\r?\n---[ \t]*(?:\r?\n|$)/s.exec(readme)?.[1] ?? '';
  const { configs, dataset_info: infos } = parseYaml(yaml, where);
  return {
    configs: (configs ?? []).map((entry) => ({
      name: entry.config_name,
      isDefault: entry.default === true,
      patterns: entry.data_files ?? null,
      folder: (entry.data_dir ?? '').replaceAll(/^(\.?\/)+|\/+$/g, '').replace(/^\.$/, ''),
      needsReader: Object.keys(entry).some((key) => !PLAIN_KEYS.has(key)),
    })),
    classNames: new Map(
      [...(infos ?? []), ...(configs ?? [])].flatMap((entry): [string, ClassNames][] =>
        entry.features === undefined ? [] : [[entry.config_name, namesInYaml(entry.features)]],
      ),
    ),
  };
}

function parseYaml(yaml: string, where: string): z.output<typeof card> {
  try {
    return card.parse(parse(yaml, { logLevel: 'error', uniqueKeys: false }) ?? {});
  } catch (error) {
    throw new UsageError(
      `The head of ${where} does not describe a data set (${printable(faultOf(error))}): give its files instead of its id`,
    );
  }
}

function faultOf(error: unknown): string {
  if (!(error instanceof z.ZodError)) return messageOf(error).split('\n')[0] ?? '';
  const [issue] = error.issues;
  return `${issue?.path.join('.')}: ${issue?.message}`;
}

const labelNames = z.union([
  z.array(name),
  z.record(z.string(), name).transform((names) =>
    Object.entries(names)
      .toSorted(([a], [b]) => Number(a) - Number(b))
      .map(([, text]) => text),
  ),
]);
const yamlLabel = z
  .object({ class_label: z.object({ names: labelNames }) })
  .transform((type) => type.class_label.names);
const yamlType = z.union([yamlLabel, z.object({ dtype: yamlLabel }).transform((type) => type.dtype)]);
const yamlColumn = z.object({ name, dtype: z.unknown(), list: z.unknown(), sequence: z.unknown() }).partial();

/** ClassLabel columns, single or lists of them, in the form of `Features._to_yaml_list`. */
function namesInYaml(features: unknown): ClassNames {
  const found = z
    .array(z.unknown())
    .catch([])
    .parse(features)
    .map((entry): [string, string[]][] => {
      const column = yamlColumn.safeParse(entry).data;
      const names = yamlType.safeParse(column?.list ?? column?.sequence ?? column?.dtype);
      return column?.name !== undefined && names.success ? [[column.name, names.data]] : [];
    });
  return Object.fromEntries(found.flat());
}

/** What the thread for a long card gets. */
export interface CardRequest {
  readonly readme: string;
  readonly where: string;
}

/** What it answers: the card, or what is wrong with it. */
export type CardReply = { card: DatasetCard } | { fault: string };

/** Characters. Nearly all cards are shorter, and need no thread. */
const SHORT = 32_768;
const LIMITS = { seconds: 20, megabytes: 512 };

/** As `parseDatasetCard`. @throws UsageError also for a long card that takes more than the limits to read */
export async function readDatasetCard(
  readme: string,
  where: string,
  { seconds, megabytes } = LIMITS,
): Promise<DatasetCard> {
  if (readme.length <= SHORT) return parseDatasetCard(readme, where);
  const request: CardRequest = { readme, where };
  const worker = new Worker(new URL('card-thread.js', import.meta.url), {
    workerData: request,
    execArgv: [],
    resourceLimits: { maxOldGenerationSizeMb: megabytes },
  });
  const reply = await new Promise<CardReply>((resolve) => {
    const tooMuch = (): void =>
      resolve({
        fault: `${where} takes more than ${seconds} s or ${megabytes} MB to read: give the files of the data set instead of its id`,
      });
    const timer = setTimeout(tooMuch, seconds * 1000);
    worker
      .on('message', resolve)
      .on('error', tooMuch)
      .on('exit', tooMuch)
      .once('exit', () => clearTimeout(timer));
  });
  await worker.terminate();
  if ('fault' in reply) throw new UsageError(reply.fault);
  return reply.card;
}
