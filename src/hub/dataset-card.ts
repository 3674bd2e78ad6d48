// What a data set says about itself: the YAML at the head of its README.md, and the features that `datasets`
// leaves in the metadata of its parquet files.
import { parse } from 'yaml';
import { z } from 'zod';
import { messageOf, UsageError } from '../util/errors.js';
import { printable, UNPRINTABLE } from './printable.js';
import { LONGEST_PATH } from './repo.js';

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
 * @throws UsageError for YAML that cannot be read or says something else under those keys
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

const jsonLabel = z
  .object({ _type: z.literal('ClassLabel'), names: z.array(z.string()) })
  .transform((type) => type.names);
const jsonType = z.union([
  jsonLabel,
  z.object({ feature: jsonLabel }).transform((list) => list.feature),
  z.tuple([jsonLabel]).transform(([names]) => names),
]);
const jsonInfo = z.object({ info: z.object({ features: z.record(z.string(), z.unknown()) }) });

/**
 * The class names that `datasets` keeps under the key `huggingface` of a parquet file it wrote; {} for any other
 * file. A damaged file gives {} too: its fault is named when its rows are read.
 */
export async function classNamesInParquet(path: string): Promise<ClassNames> {
  try {
    // Loaded here, as is the whole of Parquet, so that start-up does without it.
    const { parquetFooter } = await import('../data/parquet.js');
    const { key_value_metadata: pairs } = (await parquetFooter(path)).metadata;
    const text = pairs?.find(({ key }) => key === 'huggingface')?.value ?? '{}';
    const { features } = jsonInfo.parse(JSON.parse(text)).info;
    const found = Object.entries(features).map(
      ([column, type]) => [column, jsonType.safeParse(type).data] as const,
    );
    return Object.fromEntries(found.filter((entry): entry is [string, string[]] => entry[1] !== undefined));
  } catch {
    return {};
  }
}
