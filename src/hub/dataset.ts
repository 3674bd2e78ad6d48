// From a data set id of the hub to local files per split and the names of its classes.
import { expected, UsageError } from '../util/errors.js';
import { dataPaths, grouped, type SplitFiles, splitsByConvention, splitsByPattern } from './data-files.js';
import { type CardConfig, type DatasetCard, readDatasetCard } from './dataset-card.js';
import type { HubOptions } from './model.js';
import { concealingToken, type DownloadProgress } from './progress.js';
import { checkedRepo, titleOf } from './repo.js';
import { hubSettings, type HubSettings } from './settings.js';
import { openSnapshot, type Snapshot } from './snapshot.js';

/** Branch on which the hub keeps a parquet copy of every public data set it can read. */
const PARQUET_BRANCH = 'refs/convert/parquet';
const NO_CARD: DatasetCard = { configs: [], classNames: new Map() };

/** A data set on the local disk. */
export interface DatasetFiles {
  /** Absolute paths by split, under the data set's own names (`train`, `test`, `unsupervised` ...). */
  splits: Record<string, string[]>;
  /** Names of the integers of each ClassLabel column, where the card has them; Parquet files may have them, too. */
  classNames: Record<string, string[]>;
}

/** A configuration whose files are known but not fetched. */
interface Plan {
  readonly config: string;
  readonly splits: SplitFiles;
}

/**
 * Downloads one configuration of a data set: the files that its card or the naming conventions give to each split
 * (parquet, JSON, CSV), as Python's load_dataset finds them. A data set in another form (a loading script, archives,
 * a special separator) is taken from the parquet copy that the hub keeps on `refs/convert/parquet`.
 *
 * @param options.config name of the configuration; needed when there are several and none is the default
 * @throws UsageError for an id the hub has not or does not give out, a configuration it has not, several to choose
 *   from, and a form that cannot be read; RunError when it can neither be downloaded nor found in the cache
 */
export async function datasetFiles(
  id: string,
  options: HubOptions & { config?: string } = {},
): Promise<DatasetFiles> {
  const settings = await hubSettings(options.env ?? process.env);
  return concealingToken(settings, options.progress, (progress) =>
    fetchDataset(id, options, settings, progress),
  );
}

async function fetchDataset(
  id: string,
  options: HubOptions & { config?: string },
  settings: HubSettings,
  progress: DownloadProgress,
): Promise<DatasetFiles> {
  const open = (revision?: string): Promise<Snapshot> =>
    openSnapshot(checkedRepo('dataset', id, revision), settings, progress);
  const own = await open(options.revision);
  const card = await cardOf(own);
  const plan = planFromCard(own, card, options.config);
  if (plan !== null) return collect(own, plan, card);
  const copy = options.revision === undefined ? await open(PARQUET_BRANCH).catch(noCopy) : null;
  if (copy === null) throw unreadable(own);
  const copied = planFromParquetBranch(copy, options.config);
  if ([...copied.splits.values()].flat().some((path) => path.includes('/partial-'))) {
    progress.note(`The hub's parquet copy of ${titleOf(own.repo)} holds only the first part of its rows`);
  }
  await own.keep();
  return collect(copy, copied, card);
}

async function cardOf(snapshot: Snapshot): Promise<DatasetCard> {
  if (!snapshot.files.has('README.md')) return NO_CARD;
  return readDatasetCard(await snapshot.read('README.md'), `README.md of ${titleOf(snapshot.repo)}`);
}

/** Null when the repository does not hold this configuration in files that can be read as they are. */
function planFromCard(snapshot: Snapshot, card: DatasetCard, requested: string | undefined): Plan | null {
  const paths = dataPaths(snapshot.files.keys());
  if (paths.length === 0) return null;
  const whole: CardConfig = {
    name: 'default',
    isDefault: true,
    patterns: null,
    folder: '',
    needsReader: false,
  };
  const configs = card.configs.length > 0 ? card.configs : [whole];
  const defaults = configs.filter((config) => config.isDefault).map((config) => config.name);
  const chosen = chooseConfig(
    snapshot,
    configs.map((config) => config.name),
    defaults[0],
    requested,
  );
  const config = configs.find(({ name }) => name === chosen);
  if (config === undefined || config.needsReader) return null;
  const splits = splitsOf(config, paths);
  return splits.size === 0 ? null : { config: chosen, splits };
}

function splitsOf({ folder, patterns }: CardConfig, paths: readonly string[]): SplitFiles {
  if (patterns !== null) return splitsByPattern(paths, patterns);
  const prefix = folder === '' ? '' : `${folder}/`;
  const inside = paths.filter((path) => path.startsWith(prefix)).map((path) => path.slice(prefix.length));
  const splits = splitsByConvention(inside);
  return new Map([...splits].map(([split, found]) => [split, found.map((path) => prefix + path)]));
}

/** The branch holds `<configuration>/<split>/0000.parquet`; `partial-<split>` where the copy stops at 5 GB. */
function planFromParquetBranch(copy: Snapshot, requested: string | undefined): Plan {
  const entries = dataPaths(copy.files.keys()).flatMap((path) => {
    const [, config, split] = /^([^/]+)\/(?:partial-)?([^/]+)\/[^/]+\.parquet$/.exec(path) ?? [];
    return config === undefined || split === undefined ? [] : [{ config, split, path }];
  });
  if (entries.length === 0) throw unreadable(copy);
  const config = chooseConfig(copy, [...new Set(entries.map((entry) => entry.config))], undefined, requested);
  const chosen = entries.filter((entry) => entry.config === config);
  return { config, splits: grouped(chosen.map(({ split, path }) => [split, path])) };
}

function chooseConfig(
  { repo }: Snapshot,
  names: readonly string[],
  marked: string | undefined,
  requested: string | undefined,
): string {
  const list = names.slice(0, 20).join(', ') + (names.length > 20 ? ` and ${names.length - 20} more` : '');
  if (requested !== undefined) {
    if (names.includes(requested)) return requested;
    throw expected(`a configuration of ${titleOf(repo)} (${list})`, 'the data set configuration', requested);
  }
  const usual = ['default', 'plain_text'].find((name) => names.includes(name));
  const chosen = marked ?? (names.length === 1 ? names[0] : usual);
  if (chosen !== undefined) return chosen;
  throw new UsageError(
    `The hub's ${titleOf(repo)} has several configurations: choose one of ${list} (datasetConfig)`,
  );
}

async function collect(
  snapshot: Snapshot,
  { config, splits }: Plan,
  card: DatasetCard,
): Promise<DatasetFiles> {
  const local = new Map<string, string[]>();
  for (const [split, paths] of splits) local.set(split, await snapshot.fetch(paths));
  await snapshot.keep();
  return { splits: Object.fromEntries(local), classNames: card.classNames.get(config) ?? {} };
}

/** A missing branch only means that there is no copy; everything else is an error of its own. */
function noCopy(error: unknown): null {
  if (error instanceof UsageError) return null;
  throw error;
}

function unreadable({ repo, files }: Snapshot): UsageError {
  const script = `${repo.id.split('/').at(-1)}.py`;
  const why = files.has(script)
    ? `is a loading script (${script}), which is never run,`
    : 'has no parquet, JSON or CSV files that can be read as they are,';
  return new UsageError(
    `The hub's ${titleOf(repo)} ${why} and the hub keeps no parquet copy of it: ` +
      `load it with Python, write each split with to_parquet(), and give the files (trainFile, validationFile)`,
  );
}
