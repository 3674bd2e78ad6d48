// What a report says of the machine and of the data: facts that only the running command has.
import { cpus, totalmem } from 'node:os';

import type { Dataset } from '../data/dataset.js';
import { describeLabels, findDuplicates } from '../inspection/dataset.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { deviceInfo } from '../native/index.js';
import type { ReportFacts, SplitFacts } from '../report/facts.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { packageVersion } from '../util/installation.js';

/** The machine, the versions and the time, of an open model. */
export function runOf({ placement }: EncoderModel): NonNullable<ReportFacts['run']> {
  const [processor] = cpus();
  return {
    written: new Date().toISOString(),
    machine: {
      device: placement,
      processor: `${processor?.model ?? process.arch}, ${cpus().length} cores`,
      memory: `${Math.round(totalmem() / 2 ** 30)} GiB`,
    },
    versions: { bertune: packageVersion(), LibTorch: deviceInfo().libtorch, Node: process.version },
  };
}

/** Finding equal texts sorts the rows; with more of them it would take seconds. */
const MOST_COMPARED = 300_000;

/** The rows of a split. @param parts how they are tokenized, and to how many tokens they are cut */
export async function splitFacts(
  rows: Dataset,
  { tokenizer, maxLength }: { tokenizer: BertTokenizer; maxLength: number },
): Promise<SplitFacts> {
  const labels = describeLabels(rows);
  const duplicates = rows.size > MOST_COMPARED ? undefined : findDuplicates(rows);
  return {
    rows: rows.size,
    badRows: rows.split.badRows.count,
    digest: (await rows.identity()).files,
    labels:
      labels.kind === 'counts'
        ? Object.entries(labels.counts).map(([label, count]) => ({ label, rows: count }))
        : null,
    ...(rows.split.tokens !== null && { labelled: 'words' as const }),
    lengths: await lengthsOf(rows, tokenizer, maxLength),
    ...(duplicates !== undefined && {
      duplicates: {
        rows: duplicates.duplicates,
        contradictions: duplicates.contradictions,
        ...(duplicates.example !== undefined && { example: duplicates.example }),
      },
    }),
  };
}

const LENGTH_BINS = 24;
/** Rows that are measured at most, and together, and the time after which no more are. */
const MEASURED = 2000;
const TOGETHER = 50;
const MEASURING_MS = 150;

/** Lengths before they are cut: of rows at equal distances, as many as take a moment. */
async function lengthsOf(
  rows: Dataset,
  tokenizer: BertTokenizer,
  limit: number,
): Promise<NonNullable<SplitFacts['lengths']>> {
  const lengths: number[] = [];
  const parts = Math.ceil(Math.min(rows.size, MEASURED) / TOGETHER);
  const every = Math.max(rows.size / MEASURED, 1);
  const began = performance.now();
  for (let part = 0; part < parts && performance.now() - began < MEASURING_MS; part++) {
    const chosen: number[] = [];
    for (let i = part; Math.floor(i * every) < rows.size; i += parts) chosen.push(Math.floor(i * every));
    const { examples } = await rows.read(chosen);
    for (const { text, textPair } of examples) lengths.push(tokenizer.encode(text, textPair).ids.length);
  }
  const longest = lengths.reduce((a, b) => Math.max(a, b), 0);
  const cut = lengths.filter((length) => length > limit).length;
  return { rows: lengths.length, limit, longest, cut, bins: lengthBins(lengths, limit, longest) };
}

/** Ranges of equal width, with an edge where rows are cut; the last one has all that is longer. */
function lengthBins(
  lengths: readonly number[],
  limit: number,
  longest: number,
): NonNullable<SplitFacts['lengths']>['bins'] {
  const usual = lengths.toSorted((a, b) => a - b)[Math.floor(0.9 * lengths.length)] ?? 0;
  const most = Math.min(longest, Math.max(2 * limit, usual));
  const width = Math.max(1, Math.ceil(most / LENGTH_BINS));
  const upTo = (first: number, last: number): number[] =>
    Array.from({ length: Math.max(Math.ceil((last - first + 1) / width), 0) }, (_, i) => first + i * width);
  const froms = [...upTo(1, Math.min(limit, most)), ...upTo(limit + 1, most)];
  return froms.map((from, i) => {
    const next = froms[i + 1];
    const to = next === undefined ? longest : next - 1;
    return { from, to, rows: lengths.filter((length) => length >= from && length <= to).length };
  });
}
