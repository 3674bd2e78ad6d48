// One training of a search and how it ended.
import type { Params } from './space.js';

/** The metric at one evaluation. */
export interface Report {
  /** Optimizer steps before it. */
  step: number;
  /** NaN, in a file null, where the metric is not defined. */
  value: number;
}

export interface Trial {
  number: number;
  params: Params;
  /** Pruned: given up early; failed: the run broke off, e.g. because the loss was no longer finite. */
  state: 'complete' | 'pruned' | 'failed';
  /** The metric of the last evaluation; null of a failed trial. */
  value: number | null;
  reports: Report[];
  /** Why a trial failed. */
  error?: string;
}
