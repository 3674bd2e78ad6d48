// The rows of a masked language model: texts one by one, or put together and cut into rows of one length. They make their batches
// themselves, since what is masked depends on the epoch.
import { maskedLm, type Targets, type TaskDescription } from '../tasks/index.js';
import type { PackedBatch } from '../native/index.js';
import { createTokenizerPool, type BertTokenizer, type TokenizerPool } from '../tokenizer/index.js';
import { UsageError } from '../util/errors.js';
import { TempFile } from '../util/temp-file.js';
import {
  pack,
  readRows,
  type BatchPlace,
  type DataIdentity,
  type LabelledExamples,
  type LabelledRows,
  type TextRows,
} from './batch.js';
import { maskingProbability, maskingVocabulary, maskTokens, type Masking } from './masking.js';

/** Of an evaluation, at which rows are masked in the same way whatever the training. */
const EVALUATION = { seed: 0, epoch: -1, probability: 0.15 };
const ROWS_AT_ONCE = 256;
/** Set in the numbers of the file at special tokens. */
const SPECIAL = 1 << 30;
const BYTES = 4;

/**
 * How texts become the rows of a masked language model.
 *
 * @example
 * ```ts
 * import type { MaskedRowsOptions } from 'bertune';
 *
 * const options: MaskedRowsOptions = { maxLength: 128, mlmProbability: '0.3:0.15', wholeWordMask: true };
 * ```
 */
export interface MaskedRowsOptions {
  /** Tokens of a row. */
  maxLength: number;
  /** Whether each text is a row, cut at `maxLength`; by default all texts are put together and cut into rows. */
  lineByLine?: boolean;
  /** The share of tokens to predict; two such as 0.3:0.15 for the begin and the end of the training. Default 0.15. */
  mlmProbability?: number | string;
  /** Whether all tokens of a word are masked together. */
  wholeWordMask?: boolean;
  /** Decides what is masked in training; default 42. */
  seed?: number;
  /** Threads that tokenize; default none. */
  workers?: number;
  /** Called with the number of texts that were tokenized. */
  onTokenized?: (texts: number) => void;
}

/**
 * Rows of texts for a masked language model. Texts that are put together are tokenized at once, into a temporary file.
 *
 * @param texts their labels, if they have any, are not read
 * @throws UsageError for a tokenizer without a mask token, and for texts that hold no token
 *
 * @example
 * ```ts
 * import { AutoModelForMaskedLM, AutoTokenizer, maskedRows, textsInMemory, Trainer, trainingArguments } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased');
 * const texts = textsInMemory(['a superb film', 'a great actor']);
 * const trainer = new Trainer({
 *   model: await AutoModelForMaskedLM.fromPretrained('bert-base-uncased'),
 *   tokenizer,
 *   args: trainingArguments({ outputDir: 'adapted' }),
 *   trainDataset: await maskedRows(texts, tokenizer, { maxLength: 128, lineByLine: true }),
 * });
 * await trainer.train();
 * ```
 */
export async function maskedRows(
  texts: TextRows & Pick<LabelledRows, 'identity'>,
  tokenizer: BertTokenizer,
  options: MaskedRowsOptions,
): Promise<MaskedRows> {
  const { mlmProbability = 0.15, wholeWordMask: wholeWords = false, seed = 42 } = options;
  const masking = { vocabulary: maskingVocabulary(tokenizer), wholeWords, seed };
  const rows =
    options.lineByLine === true
      ? new TextsAsRows(texts, tokenizer.specialsAround)
      : await PackedTexts.of(texts, tokenizer, options);
  return new MaskedRows(rows, texts, { masking, mlmProbability });
}

/** Token ids by row, and which of them are special tokens that the tokenizer put there. */
interface TokenRows {
  readonly size: number;
  encode(rows: Uint32Array, pool: TokenizerPool): Promise<{ ids: Int32Array; isSpecial: Uint8Array }[]>;
  close(): Promise<void>;
}

/**
 * Rows for a Trainer and for `evaluateRows`, which masks all rows in one way at 15 %.
 *
 * @example
 * ```ts
 * import { AutoTokenizer, maskedRows, textsInMemory, type MaskedRows } from 'bertune';
 *
 * const tokenizer = await AutoTokenizer.fromPretrained('bert-base-uncased');
 * const texts = textsInMemory(['a superb film', 'a great actor']);
 * const rows: MaskedRows = await maskedRows(texts, tokenizer, { maxLength: 128, lineByLine: true });
 * console.log(rows.size); // 2
 * await rows.close();
 * ```
 */
export class MaskedRows implements LabelledRows {
  readonly task: TaskDescription = maskedLm.create([]);
  readonly #rows: TokenRows;
  readonly #texts: TextRows & Pick<LabelledRows, 'identity'>;
  readonly #masking: Masking;
  readonly #probability: number | string;

  /** See {@link maskedRows}. */
  constructor(
    rows: TokenRows,
    texts: TextRows & Pick<LabelledRows, 'identity'>,
    { masking, mlmProbability }: { masking: Masking; mlmProbability: number | string },
  ) {
    this.#rows = rows;
    this.#texts = texts;
    this.#masking = masking;
    this.#probability = mlmProbability;
  }

  get size(): number {
    return this.#rows.size;
  }

  get tokensEach(): number | undefined {
    return this.#rows instanceof PackedTexts ? this.#rows.length : undefined;
  }

  /** None: they are made with the batch. */
  labels(): Targets {
    return new Int32Array();
  }

  /** The texts, where each is a row. @throws UsageError where they were put together */
  async read(rows: ArrayLike<number>): Promise<readonly [] | LabelledExamples['examples']> {
    if (this.#rows instanceof TextsAsRows)
      return (await readRows(this.#texts, Uint32Array.from(rows))).examples;
    throw new UsageError(
      'The rows are pieces of texts that were put together, all of one length; group_by_length is for texts as they are: lineByLine',
    );
  }

  async batch(rows: Uint32Array, at: BatchPlace, pool: TokenizerPool): Promise<PackedBatch> {
    const isEvaluation = at === 'evaluation';
    const { epoch, probability } = isEvaluation
      ? EVALUATION
      : { epoch: at.epoch, probability: maskingProbability(this.#probability, at.progress) };
    const masking = isEvaluation ? { ...this.#masking, seed: EVALUATION.seed } : this.#masking;
    const encoded = await this.#rows.encode(rows, pool);
    const labels = encoded.map(({ ids, isSpecial }, i) =>
      maskTokens(ids, isSpecial, masking, { epoch, row: rows[i] ?? 0, probability }),
    );
    const batch = pack(encoded.map(({ ids }) => ({ ids, typeIds: null })));
    const all = new Int32Array(batch.inputIds.length);
    for (const [i, some] of labels.entries()) all.set(some, batch.cuSeqlens[i]);
    return { ...batch, labels: all };
  }

  /** As they were given to `maskedRows`. */
  get texts(): TextRows {
    return this.#texts;
  }

  /** How the texts became rows, by the names of the options. */
  get reading(): { readonly lineByLine: boolean; readonly wholeWordMask: boolean } {
    return { lineByLine: this.#rows instanceof TextsAsRows, wholeWordMask: this.#masking.wholeWords };
  }

  async identity(): Promise<DataIdentity> {
    const own = await this.#texts.identity?.();
    const masking = {
      ...this.reading,
      mlmProbability: this.#probability,
      'the seed of the masks': this.#masking.seed,
    };
    return { files: 'texts of a script', columns: null, ...own, masking };
  }

  /** Frees the temporary file. */
  async close(): Promise<void> {
    await this.#rows.close();
  }
}

/** Each text is a row. */
class TextsAsRows implements TokenRows {
  readonly size: number;

  constructor(
    private readonly texts: TextRows,
    private readonly specials: BertTokenizer['specialsAround'],
  ) {
    this.size = texts.size;
  }

  async encode(
    rows: Uint32Array,
    pool: TokenizerPool,
  ): Promise<{ ids: Int32Array; isSpecial: Uint8Array }[]> {
    const { examples } = await readRows(this.texts, rows);
    const encodings = await pool.encode(examples.map(({ text }) => ({ text })));
    return encodings.map(({ ids }) => ({
      ids: Int32Array.from(ids),
      isSpecial: specialPlaces(ids.length, this.specials),
    }));
  }

  async close(): Promise<void> {}
}

function specialPlaces(tokens: number, [before, after]: BertTokenizer['specialsAround']): Uint8Array {
  return new Uint8Array(tokens).fill(1, 0, before).fill(1, Math.max(0, tokens - after));
}

/**
 * The tokens of all texts one after another, with the special tokens of each, cut into rows of one length: group_texts of
 * transformers' run_mlm.py, of all texts at once. What is left over behind the last whole row is dropped, unless it is all there is.
 */
class PackedTexts implements TokenRows {
  private constructor(
    readonly size: number,
    readonly length: number,
    private readonly file: TempFile,
  ) {}

  static async of(
    texts: TextRows,
    tokenizer: BertTokenizer,
    { maxLength, workers = 0, onTokenized }: MaskedRowsOptions,
  ): Promise<PackedTexts> {
    const pool = createTokenizerPool(tokenizer, { workers });
    const file = await TempFile.create();
    try {
      for (let first = 0; first < texts.size; first += ROWS_AT_ONCE) {
        const count = Math.min(ROWS_AT_ONCE, texts.size - first);
        const { examples } = await readRows(
          texts,
          Uint32Array.from({ length: count }, (_, i) => first + i),
        );
        for (const { ids } of await pool.encode(examples.map(({ text }) => ({ text }))))
          file.append(withMarks(ids, specialPlaces(ids.length, tokenizer.specialsAround)));
        onTokenized?.(first + count);
      }
      file.flush();
      const tokens = file.size / BYTES;
      if (tokens === 0) throw new UsageError('The texts hold no tokens; give some that do');
      const length = Math.min(maxLength, tokens);
      return new PackedTexts(Math.floor(tokens / length), length, file);
    } catch (error) {
      await file.close();
      throw error;
    } finally {
      await pool.close();
    }
  }

  async encode(rows: Uint32Array): Promise<{ ids: Int32Array; isSpecial: Uint8Array }[]> {
    return Promise.all(
      Array.from(rows, async (row) => {
        const marked = new Int32Array(this.length);
        const bytes = new Uint8Array(marked.buffer);
        await this.file.handle.read(bytes, 0, bytes.length, row * bytes.length);
        return {
          ids: marked.map((id) => id & ~SPECIAL),
          isSpecial: Uint8Array.from(marked, (id) => (id & SPECIAL) >>> 30),
        };
      }),
    );
  }

  async close(): Promise<void> {
    await this.file.close();
  }
}

function withMarks(ids: Int32Array, isSpecial: Uint8Array): Buffer {
  const marked = ids.map((id, place) => (isSpecial[place] === 1 ? id | SPECIAL : id));
  return Buffer.from(marked.buffer, marked.byteOffset, marked.byteLength);
}
