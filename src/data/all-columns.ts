// Rows with all their columns, for looking at data before it is known which of them are the text and the label.
import { findDataFiles } from './files.js';
import type { ReadSettings } from './read-settings.js';
import type { RawRecord } from './records.js';
import { openSource } from './source.js';

/**
 * Reads files once from start to end, good rows and broken ones.
 *
 * @throws UsageError for files that are not there or are no data
 */
export async function* readAllColumns(
  patterns: readonly string[],
  name: 'train' | 'validation' | 'test',
  settings: ReadSettings,
): AsyncGenerator<RawRecord[]> {
  for (const file of await findDataFiles(patterns, name)) {
    const source = await openSource(file, () => undefined, settings);
    yield* source.batches(source.columns ?? [], null);
  }
}
