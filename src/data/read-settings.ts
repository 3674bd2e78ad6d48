// What decides how a file is read, other than its name.
import type { Quoting } from './csv-dialect.js';
import { DEFAULT_LIMITS, type DataLimits } from './limits.js';

export interface ReadSettings extends DataLimits {
  /** Of CSV and TSV. */
  readonly quoting: Quoting;
}

export const DEFAULT_READ_SETTINGS: ReadSettings = { ...DEFAULT_LIMITS, quoting: 'minimal' };
