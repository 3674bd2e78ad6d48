// How long texts are in tokens, and how long they may be.
import { UsageError } from '../util/errors.js';
import { maxTokensOf, type ModelConfig } from '../models/config.js';
import type { BertTokenizer, TokenizerPool } from '../tokenizer/index.js';
import type { TextRows } from './batch.js';

const ROWS_PER_REQUEST = 256;

/**
 * Tokens a text may have, special tokens included: what was asked for, else 512 or the model's limit.
 *
 * @throws UsageError when more is asked for than the model has positions
 */
export function maxLengthOf(
  model: { config: ModelConfig },
  tokenizer: BertTokenizer,
  requested: number | undefined,
): number {
  const positions = maxTokensOf(model.config);
  if (requested !== undefined && requested > positions)
    throw new UsageError(
      `--max-seq-length is ${requested} but the model has ${positions} positions; use at most ${positions}`,
    );
  return requested ?? Math.min(512, positions, tokenizer.modelMaxLength);
}

/** Token counts of all rows, truncated as in training: what group_by_length sorts by. Two bytes a row. */
export async function measureLengths(
  data: TextRows,
  pool: TokenizerPool,
  onProgress: (rows: number) => void,
): Promise<Uint16Array> {
  const lengths = new Uint16Array(data.size);
  for (let first = 0; first < lengths.length; first += ROWS_PER_REQUEST) {
    const count = Math.min(ROWS_PER_REQUEST, lengths.length - first);
    const examples = await data.read(Uint32Array.from({ length: count }, (_, i) => first + i));
    (await pool.encode(examples)).forEach(({ ids }, i) => (lengths[first + i] = ids.length));
    onProgress(first + count);
  }
  return lengths;
}
