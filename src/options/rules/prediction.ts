// What predictions are made of and written to.
import { formatNames, formatOfEnding, predictionFormats } from '../../predictions/formats.js';
import type { PredictOptions } from '../commands.js';
import type { NameOf, Problem } from './rule.js';

export function poolingNeedsWindows(
  { stride, pooling }: Pick<PredictOptions, 'stride' | 'pooling'>,
  name: NameOf,
): Problem | undefined {
  if (pooling === undefined || stride !== undefined) return undefined;
  const message = `${name('pooling')} needs ${name('stride')}: without windows there is nothing to pool`;
  return { about: 'pooling', message };
}

export function knownEnding({ outputFile, outputFormat }: PredictOptions, name: NameOf): Problem | undefined {
  if (outputFile === undefined || outputFormat !== undefined || formatOfEnding(outputFile) !== undefined)
    return undefined;
  const formats = `${formatNames.slice(0, -1).join(', ')} or ${formatNames.at(-1)}`;
  return {
    about: 'outputFile',
    message: `${name('outputFile')} ${outputFile} has an ending that names no format; end it in .jsonl, .csv or .parquet, or give ${name('outputFormat')} ${formats}`,
  };
}

export function formatNeedsFile(
  { outputFile, outputFormat }: PredictOptions,
  name: NameOf,
): Problem | undefined {
  if (outputFormat === undefined || !predictionFormats[outputFormat].needsFile || outputFile !== undefined)
    return undefined;
  return {
    about: 'outputFormat',
    message: `${name('outputFormat')} ${outputFormat} needs ${name('outputFile')}: it cannot be read from a stream`,
  };
}
