// `bertune inspect FILE`: what is in training data, before a training.
import { requireDevice } from '../models/encoder-model.js';
import { maxLengthOf, measureLengths } from '../data/batch.js';
import type { InspectOptions } from '../options/index.js';
import { counted, listed } from '../util/text.js';
import { readAllColumns } from '../data/index.js';
import { findDataFiles } from '../data/files.js';
import type { Dataset } from '../data/dataset.js';
import { describeColumns, type ColumnReport } from '../inspection/columns.js';
import {
  findDuplicates,
  type DuplicateReport,
  describeLabels,
  type LabelReport,
  describeLengths,
  tokensUpTo,
  type LengthReport,
  measureSpeed,
} from '../inspection/dataset.js';
import { BertTokenizer, createTokenizerPool } from '../tokenizer/index.js';
import { formatNumber, formatSeconds, type Progress } from '../terminal/progress.js';
import { type DataOptions, findFiles, openToDescribe } from './data.js';
import { listLabelErrors } from './label-errors.js';
import { reportLabelsOtherThan } from './notes.js';
import { modelAndTokenizer, readOptions, type ModelSource } from './model-source.js';
import { CommandProgress, printResult } from './output.js';
import { requireLabels } from './masked-lm.js';

/** Longer texts count as this many tokens. */
const LONGEST = 65_535;

/** What a column is read for. */
type ColumnUse = 'text' | 'textPair' | 'label';

/** All that is found; what a model or a tokenizer is needed for is left out without one. */
export interface Inspection {
  rows: number;
  badRows: number;
  columns: (ColumnReport & { use?: ColumnUse })[];
  labels: LabelReport;
  duplicates: DuplicateReport;
  lengths?: LengthReport;
  training?: { steps: number; tokensPerSecond: number; seconds: number };
}

/**
 * Prints what it finds, or with `labelErrors` the rows whose labels are probably wrong: as text, or with `--json` as one JSON object.
 *
 * @throws UsageError for data, a model or a tokenizer that cannot be used
 */
export async function inspect(options: InspectOptions): Promise<void> {
  requireLabels(options.task, 'inspect');
  if (options.labelErrors) {
    await listLabelErrors(options);
    return;
  }
  const progress = new CommandProgress(options);
  requireDevice(options);
  const start = options.model === undefined ? null : await modelAndTokenizer(options, progress);
  const tokenizer = start?.tokenizer ?? (await tokenizerAlone(options));
  const read: DataOptions = start === null ? options : readOptions(options, start.source);
  const atFirst = await columnsOf(options);
  const opened = await openToDescribe({ ...read, modelLabels: undefined }, progress).catch(
    (error: unknown) => {
      // To name the text and the label one must see what there is.
      for (const line of columnLines(atFirst)) progress.line(line);
      throw error;
    },
  );
  const { data } = opened;
  const { encoding } = opened.options;
  const isOther = encoding !== undefined && encoding !== options.encoding;
  const columns = isOther ? await columnsOf({ ...options, encoding }) : atFirst;
  try {
    reportLabelsOtherThan(read.modelLabels, data, progress);
    const { train } = data;
    const used = train.split.columns;
    const lengths = tokenizer === null ? null : await lengthsOf(train, tokenizer, progress);
    const found: Inspection = {
      rows: train.size,
      badRows: train.split.badRows.count,
      columns: columns.map((column) => {
        const use = (['text', 'textPair', 'label'] as const).find((each) =>
          [used[each]].flat().includes(column.name),
        );
        return use === undefined ? column : Object.assign(column, { use });
      }),
      labels: describeLabels(train),
      duplicates: findDuplicates(train),
      ...(lengths === null ? {} : { lengths: describeLengths(lengths, options.maxSeqLength) }),
      ...(lengths === null || start === null
        ? {}
        : { training: await estimate(options, { ...start, data, lengths }) }),
    };
    progress.end();
    await printResult(options.json ? `${JSON.stringify(found, null, 2)}\n` : report(found, options));
  } finally {
    await data.close();
  }
}

async function columnsOf(options: InspectOptions): Promise<ColumnReport[]> {
  const { files } = await findFiles({ ...options, validationFile: undefined }, 'train');
  const found = [files.train ?? []].flat();
  const [first] = await findDataFiles(found, 'train');
  if (first?.format === 'conll') return []; // its columns have no names
  return describeColumns(readAllColumns(found, 'train', options));
}

async function tokenizerAlone({ tokenizer }: InspectOptions): Promise<BertTokenizer | null> {
  return tokenizer === undefined ? null : BertTokenizer.fromPretrained(tokenizer);
}

async function lengthsOf(data: Dataset, tokenizer: BertTokenizer, progress: Progress): Promise<Uint16Array> {
  const pool = createTokenizerPool(tokenizer, { maxLength: LONGEST, workers: 1 });
  try {
    return await measureLengths(data, pool, (rows) => progress.bar('measuring lengths', rows, data.size, ''));
  } finally {
    await pool.close();
  }
}

async function estimate(
  options: InspectOptions,
  parts: {
    source: ModelSource;
    tokenizer: BertTokenizer;
    data: Parameters<ModelSource['load']>[0];
    lengths: Uint16Array;
  },
): Promise<NonNullable<Inspection['training']>> {
  const { source, tokenizer, data, lengths } = parts;
  const { perDeviceTrainBatchSize: batchSize, gradientAccumulationSteps, numTrainEpochs } = options;
  const maxLength = maxLengthOf(source, tokenizer, options.maxSeqLength);
  const model = await source.load(data);
  const { tokenTypes } = model;
  const withOffsets = model.task.kind.unit === 'token';
  const pool = createTokenizerPool(tokenizer, { maxLength, workers: 0, tokenTypes, withOffsets });
  try {
    await model.open(options);
    const tokensPerSecond = await measureSpeed(model, data.train, { pool, batchSize });
    const stepsPerEpoch = Math.ceil(Math.ceil(lengths.length / batchSize) / gradientAccumulationSteps);
    const tokens = tokensUpTo(lengths, maxLength) * numTrainEpochs;
    return {
      steps: Math.ceil(stepsPerEpoch * numTrainEpochs),
      tokensPerSecond,
      seconds: tokens / tokensPerSecond,
    };
  } finally {
    await model.close();
    await pool.close();
  }
}

function report(found: Inspection, options: InspectOptions): string {
  const { rows, badRows, columns, labels, duplicates, lengths, training } = found;
  return [
    [counted(rows, 'usable row'), ...(badRows > 0 ? [counted(badRows, 'bad row')] : [])].join(', '),
    ...columnLines(columns),
    ...labelLines(labels, rows),
    ...duplicateLines(duplicates),
    ...(lengths === undefined ? ['Lengths in tokens: give --model or --tokenizer'] : lengthLines(lengths)),
    ...(training === undefined
      ? ['Steps and time: give --model']
      : [
          `Training ${counted(options.numTrainEpochs, 'epoch')}: ${counted(training.steps, 'step')}, about ${formatSeconds(training.seconds)} ` +
            `(${Math.round(training.tokensPerSecond)} tokens a second, measured)`,
        ]),
    '',
  ].join('\n');
}

const USES = { text: 'the text', textPair: 'the second text', label: 'the label' };

function columnLines(columns: Inspection['columns']): string[] {
  if (columns.length === 0) return [];
  return ['Columns:', ...columns.map((column) => `  ${describeColumn(column)}`)];
}

function describeColumn({ name, use, ...column }: Inspection['columns'][number]): string {
  const { different, values, missing, range, characters } = column;
  const spread =
    range === undefined ? '' : ` from ${formatNumber(range.lowest)} to ${formatNumber(range.highest)}`;
  const length =
    characters === undefined
      ? ''
      : ` of ${characters.shortest} to ${characters.longest} characters (mean ${formatNumber(characters.mean)})`;
  const list = values === undefined ? '' : ` (${listed(Object.keys(values), Infinity)})`;
  const parts = [
    ...(use === undefined ? [] : [USES[use]]),
    `${column.kind}${spread}${length}`,
    ...(different === 0 ? [] : [`${different ?? 'more than 10,000'} different${list}`]),
    ...(missing === 0 ? [] : [`missing in ${missing}`]),
  ];
  return `${JSON.stringify(name)}: ${parts.join(', ')}`;
}

function labelLines(labels: LabelReport, rows: number): string[] {
  if (labels.kind === 'numbers') {
    const { lowest, mean, highest } = labels;
    return [
      `Labels: numbers from ${formatNumber(lowest)} to ${formatNumber(highest)}, mean ${formatNumber(mean)}`,
    ];
  }
  const sorted = Object.entries(labels.counts).toSorted(([, a], [, b]) => b - a);
  const shown = sorted
    .slice(0, 20)
    .map(([name, count]) => `  ${name}: ${count} (${percent(count / (labels.of ?? rows))})`);
  const hidden = sorted.length > 20 ? [`  ... and ${sorted.length - 20} more`] : [];
  const none = labels.withoutLabel > 0 ? [`  no label: ${labels.withoutLabel}`] : [];
  return ['Labels:', ...shown, ...hidden, ...none];
}

function duplicateLines({ duplicates, contradictions, example }: DuplicateReport): string[] {
  if (example === undefined) return ['No text occurs twice'];
  const repeat = counted(duplicates, 'row repeats', 'rows repeat');
  const where = `e.g. ${example.first} and ${example.second}`;
  if (contradictions.texts === 0) return [`${repeat} an earlier text with the same label, ${where}`];
  return [
    `${repeat} an earlier text`,
    `${counted(contradictions.texts, 'text has', 'texts have')} different labels in ${contradictions.rows} rows, ${where}`,
  ];
}

function lengthLines({ mean, quantiles, cutAt }: LengthReport): string[] {
  const values = Object.entries(quantiles).map(([name, value]) => `${name} ${value}`);
  const cuts = Object.entries(cutAt).map(([limit, share]) => `${percent(share)} at ${limit}`);
  return [
    `Tokens a row: mean ${formatNumber(mean)}, ${values.join(', ')}`,
    `Cut by --max-seq-length: ${cuts.join(', ')}`,
  ];
}

function percent(share: number): string {
  return `${(100 * share).toFixed(1)} %`;
}
