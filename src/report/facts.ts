// What a report is made of, and what of it no other file has: report.json, beside report.html. Whatever is not known is left out.
import { z } from 'zod';

import { problemTypes } from '../tasks/index.js';
import { numberOrNaN } from '../training/state.js';

/** What only the run itself knows of its rows, and the model of its evaluation. */
export const REPORT_FACTS = 'report.json';

const count = z.int().nonnegative();
const label = z.union([z.string(), z.array(z.string()), z.number(), z.array(z.number())]);

/** Of a split: how many rows, what was skipped, and what `inspect` counts. */
const splitFacts = z.object({
  rows: count,
  badRows: count,
  /** The digest of the files and the rows taken from them; null for rows that are not of files. */
  digest: z.string().nullable(),
  /** Rows by label, or words by label; null without classes. */
  labels: z.array(z.object({ label: z.string(), rows: count })).nullable(),
  labelled: z.enum(['rows', 'words']).exactOptional(),
  /** Tokens of the rows before they were cut. */
  lengths: z
    .object({
      /** Rows that were measured: all, or some at equal distances. */
      rows: count,
      limit: count,
      cut: count,
      longest: count,
      bins: z.array(z.object({ from: count, to: count, rows: count })),
    })
    .exactOptional(),
  duplicates: z
    .object({
      rows: count,
      contradictions: z.object({ texts: count, rows: count }),
      example: z.object({ first: z.string(), second: z.string() }).exactOptional(),
    })
    .exactOptional(),
});
export type SplitFacts = z.output<typeof splitFacts>;

const tally = z.object({ precision: z.number(), recall: z.number(), f1: z.number(), support: count });

const bin = z.object({ rows: count, confidence: z.number(), right: z.number() });
/** Rows by the probability that was given, in equal ranges: how many, its mean, and the share that was right. */
export type CalibrationBin = z.output<typeof bin>;

const evaluationFacts = z.object({
  problemType: z.enum([...problemTypes, 'token_classification', 'masked_lm']),
  labels: z.array(z.string()),
  rows: count,
  /** As in eval_results.json. */
  metrics: z.record(z.string(), numberOrNaN),
  perClass: z.array(tally.extend({ label: z.string() })).nullable(),
  /** `[label, prediction, rows]` by label number, without zeros. */
  confusion: z.array(z.tuple([count, count, count])).nullable(),
  /** Of the labels with most rows: `[recall, precision, threshold]` where it changes. */
  curves: z.array(
    z.object({
      label: z.string(),
      points: z.array(z.tuple([z.number(), z.number(), z.number()])),
      /** Above which the model gives the label, where it gives several. */
      threshold: z.number().nullable(),
    }),
  ),
  calibration: z.object({ bins: z.array(bin), temperature: z.number().nullable() }).nullable(),
  /** Of a regression: `[number of the value, label, prediction]` of rows at equal distances. */
  values: z.array(z.tuple([count, z.number(), z.number()])).nullable(),
  /** The wrong rows with the largest loss, of a regression those furthest off. */
  worst: z.array(
    z.object({
      row: count,
      /** Left out with `--report-texts off`. */
      text: z.string().exactOptional(),
      textPair: z.string().exactOptional(),
      label,
      prediction: label,
      loss: z.number(),
      probabilities: z.array(z.tuple([z.string(), z.number()])),
    }),
  ),
  wrongRows: count,
});
export type EvaluationFacts = z.output<typeof evaluationFacts>;
export type WorstRow = EvaluationFacts['worst'][number];

const runFacts = z.object({
  /** ISO 8601, in UTC. */
  written: z.string(),
  /** By name, for people: processor, memory, device ... */
  machine: z.record(z.string(), z.string()),
  versions: z.record(z.string(), z.string()),
});

export const reportFacts = z.object({
  run: runFacts.exactOptional(),
  train: splitFacts.exactOptional(),
  validation: splitFacts.exactOptional(),
  evaluation: evaluationFacts.exactOptional(),
});
/** The content of report.json. */
export type ReportFacts = z.output<typeof reportFacts>;

/** One trial of a search. */
export interface TrialFacts {
  readonly number: number;
  readonly params: Readonly<Record<string, unknown>>;
  readonly state: 'complete' | 'pruned' | 'failed';
  readonly value: number | null;
}

/** An entry of the log history. */
export type LogEntry = Readonly<Record<string, number>>;

/** All that is known of a run; a page is a function of it. */
export interface RunFacts extends ReportFacts {
  /** Of its folder. */
  readonly name: string;
  readonly history: readonly LogEntry[];
  readonly bestStep: number | null;
  readonly bestMetric: string | null;
  /** Steps from which it was resumed. */
  readonly resumed: readonly number[];
  /** How many, and how often the loss was logged where that is known. */
  readonly steps: { readonly done: number; readonly planned: number; readonly betweenLogs?: number } | null;
  /** Metrics of the training and of the evaluation at the end, by their names in all_results.json. */
  readonly results: Readonly<Record<string, number>>;
  /** Options that differ from their defaults. */
  readonly options: Readonly<Record<string, unknown>>;
  readonly search: {
    readonly metric: string;
    readonly greaterIsBetter: boolean;
    readonly trials: readonly TrialFacts[];
  } | null;
}
