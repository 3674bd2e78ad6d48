// The rows of a split as a training or an evaluation takes them: of a masked language model cut into rows and masked, of other tasks
// as they are.
import type { LabelledRows } from '../data/batch.js';
import type { Dataset } from '../data/dataset.js';
import { maskedRows } from '../data/masked-rows.js';
import type { EvaluateOptions, TrainOptions } from '../options/index.js';
import { maskedLm, type TaskKind, type TaskName } from '../tasks/index.js';
import type { Progress } from '../terminal/progress.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import { UsageError } from '../util/errors.js';
import { counted } from '../util/text.js';

type RowOptions = Pick<EvaluateOptions, 'lineByLine' | 'wholeWordMask'> &
  Partial<Pick<TrainOptions, 'dataloaderNumWorkers' | 'mlmProbability' | 'seed'>>;

/** Rows that may hold a temporary file until they are closed. */
export type ClosableRows = LabelledRows & { close?(): Promise<void> };

export async function rowsOf(
  name: string,
  dataset: Dataset,
  { dataloaderNumWorkers: workers = 0, ...options }: RowOptions,
  { tokenizer, maxLength, progress }: { tokenizer: BertTokenizer; maxLength: number; progress: Progress },
): Promise<ClosableRows> {
  if (dataset.task.problemType !== maskedLm.problemType) return dataset;
  const { lineByLine = false, wholeWordMask = false, mlmProbability, seed } = options;
  const rows = await maskedRows(dataset, tokenizer, {
    maxLength,
    lineByLine,
    wholeWordMask,
    workers,
    ...(mlmProbability !== undefined && { mlmProbability }),
    ...(seed !== undefined && { seed }),
    onTokenized: (texts) => progress.bar('tokenizing', texts, dataset.size, ''),
  });
  if (!lineByLine)
    progress.line(
      `${name}: ${dataset.size === 1 ? '1 text makes' : `${dataset.size} texts put together make`} ${counted(rows.size, 'row')} of ${maxLength} tokens`,
    );
  return rows;
}

/** @throws UsageError for options about masks and a model that masks nothing */
export function requireMasking(
  options: Pick<EvaluateOptions, 'lineByLine' | 'wholeWordMask' | 'textUnit'>,
  { problemType }: TaskKind,
): void {
  if (problemType === maskedLm.problemType) return;
  const { lineByLine, wholeWordMask, textUnit } = options;
  const stray = lineByLine
    ? 'line-by-line'
    : wholeWordMask
      ? 'whole-word-mask'
      : textUnit === 'paragraph'
        ? 'text-unit paragraph'
        : undefined;
  if (stray !== undefined)
    throw new UsageError(`--${stray} is for masked language models, and this one is for ${problemType}`);
}

/** @throws UsageError for a task without labels, in a command that needs some */
export function requireLabels(task: TaskName | undefined, command: string): void {
  if (task === 'masked-lm')
    throw new UsageError(
      `--task masked-lm is for train and evaluate; ${command} needs labels, and texts of a masked language model have none`,
    );
}
