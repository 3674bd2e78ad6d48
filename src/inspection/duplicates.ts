// Rows with equal texts, and whether their labels agree.
import type { Dataset } from '../data/dataset.js';

export interface DuplicateReport {
  /** Rows whose text an earlier row has already. */
  duplicates: number;
  /** Texts that rows give different labels to, and how many rows those are. */
  contradictions: { texts: number; rows: number };
  /** Where two equal rows stand, of those with different labels if there are any. */
  example?: { first: string; second: string };
}

/** Finds equal texts by their hashes, in 4 bytes a row. */
export function findDuplicates(data: Dataset): DuplicateReport {
  const order = Uint32Array.from({ length: data.size }, (_, row) => row).toSorted(
    (a, b) => data.hash(a) - data.hash(b) || a - b,
  );
  const report: DuplicateReport = { duplicates: 0, contradictions: { texts: 0, rows: 0 } };
  let isContradiction = false;
  for (let start = 0; start < order.length;) {
    const hash = data.hash(order[start] ?? 0);
    let end = start + 1;
    while (end < order.length && data.hash(order[end] ?? 0) === hash) end += 1;
    const rows = order.subarray(start, end);
    start = end;
    if (rows.length === 1) continue;
    report.duplicates += rows.length - 1;
    const [first = 0] = rows;
    const other = rows.find((row) => labelsOf(data, row) !== labelsOf(data, first));
    if (other !== undefined) {
      report.contradictions.texts += 1;
      report.contradictions.rows += rows.length;
    }
    if (report.example === undefined || (other !== undefined && !isContradiction))
      report.example = { first: data.place(first), second: data.place(other ?? rows[1] ?? 0) };
    isContradiction ||= other !== undefined;
  }
  return report;
}

function labelsOf(data: Dataset, row: number): string {
  return Array.from(data.labels([row])).join();
}
