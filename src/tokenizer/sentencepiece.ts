// SentencePiece's model file (`sentencepiece.bpe.model`, `spiece.model`, `spm.model`), a protobuf message, as far as a
// Unigram tokenizer needs it: its pieces and its character map.
import { UsageError } from '../util/errors.js';
import { MAX_TOKENS } from './models.js';
import type { NamedToken } from './added-tokens.js';

type Pieces = [piece: string, score: number][];

/** Names of the file, in the order in which they are looked for. */
export const SENTENCEPIECE_FILES = [
  'sentencepiece.bpe.model',
  'spiece.model',
  'spm.model',
  'tokenizer.model',
];

export interface SentencePiece {
  vocab: Pieces;
  /** Base64; undefined where the model changes no characters. */
  charsmap: string | undefined;
  /** The pieces that are never made from text (`<s>`) or always kept whole. */
  added: NamedToken[];
}

// Numbers of the fields in sentencepiece_model.proto.
const MODEL = { pieces: 1, trainerSpec: 2, normalizerSpec: 3 };
const PIECE = { piece: 1, score: 2, type: 3 };
const TRAINER = { modelType: 3 };
const NORMALIZER = { precompiledCharsmap: 2 };
const UNIGRAM = 1;
const CONTROL = 3;
const USER_DEFINED = 4;

/** @throws UsageError for what is not such a file, and for models of another kind than Unigram */
export function parseSentencePiece(bytes: Buffer, where: string): SentencePiece {
  const result: SentencePiece = { vocab: [], charsmap: undefined, added: [] };
  let modelType = UNIGRAM;
  try {
    for (const field of fieldsOf(bytes)) {
      if (field.number === MODEL.pieces) addPiece(result, field.bytes);
      if (field.number === MODEL.trainerSpec) modelType = numberIn(field.bytes, TRAINER.modelType) ?? UNIGRAM;
      if (field.number === MODEL.normalizerSpec) result.charsmap = charsmapIn(field.bytes);
      if (result.vocab.length > MAX_TOKENS) throw new RangeError(`more than ${MAX_TOKENS} pieces`);
    }
    if (result.vocab.length < 4) throw new RangeError('fewer than 4 pieces');
  } catch (error) {
    if (!(error instanceof RangeError)) throw error;
    throw new UsageError(`${where} is not a SentencePiece model: ${error.message}`);
  }
  if (modelType !== UNIGRAM)
    throw new UsageError(
      `${where} is a SentencePiece model of another kind than Unigram; ${conversionAdvice()}`,
    );
  return result;
}

/** How a person gets a tokenizer.json from files that are not read here. */
export function conversionAdvice(): string {
  return 'convert it once with Python: AutoTokenizer.from_pretrained("FOLDER").save_pretrained("FOLDER")';
}

/** The vocabulary in the order of ids that XLM-RoBERTa's and CamemBERT's own code has. */
export function fairseqVocab(vocab: Pieces, className: string, special: (name: string) => string): Pieces {
  const mask: [string, number] = [special('mask_token'), 0];
  if (className === 'CamembertTokenizer') {
    return [
      ['<s>NOTUSED', 0],
      [special('pad_token'), 0],
      ['</s>NOTUSED', 0],
      [special('unk_token'), 0],
      ['<unk>NOTUSED', -100],
      ...vocab.slice(1),
      mask,
    ];
  }
  const first = ['bos_token', 'pad_token', 'eos_token', 'unk_token'];
  return [...first.map((name): [string, number] => [special(name), 0]), ...vocab.slice(3), mask];
}

function addPiece({ vocab, added }: SentencePiece, bytes: Buffer): void {
  let piece = '';
  let score = 0;
  let type = 1;
  for (const field of fieldsOf(bytes)) {
    if (field.number === PIECE.piece) piece = field.bytes.toString('utf8');
    if (field.number === PIECE.score && field.bytes.length === 4) score = field.bytes.readFloatLE(0);
    if (field.number === PIECE.type) type = field.value;
  }
  if (!Number.isFinite(score)) throw new RangeError(`the score of piece ${vocab.length} is not finite`);
  vocab.push([piece, score]);
  if (type === CONTROL || type === USER_DEFINED)
    added.push({ content: piece, normalized: false, special: type === CONTROL });
}

function numberIn(bytes: Buffer, number: number): number | undefined {
  return fieldsOf(bytes).find((field) => field.number === number)?.value;
}

function charsmapIn(bytes: Buffer): string | undefined {
  const map = fieldsOf(bytes).find((field) => field.number === NORMALIZER.precompiledCharsmap)?.bytes;
  return map === undefined || map.length === 0 ? undefined : map.toString('base64');
}

interface Field {
  number: number;
  /** Of a varint. */
  value: number;
  /** Of every other kind. */
  bytes: Buffer;
}

/** The fields of a protobuf message. @throws RangeError where they do not end with the message */
function fieldsOf(message: Buffer): Field[] {
  const fields: Field[] = [];
  let at = 0;
  const varint = (): number => {
    let value = 0;
    for (let shift = 0; shift < 70; shift += 7) {
      const byte = message[at++];
      if (byte === undefined) break;
      // Not by bits: those beyond the 32nd would get lost.
      value += (byte & 0x7f) * 2 ** shift;
      if (byte < 0x80) return value;
    }
    throw new RangeError(`broken at byte ${at}`);
  };
  while (at < message.length) {
    const key = varint();
    const kind = key % 8;
    const field: Field = { number: Math.floor(key / 8), value: 0, bytes: message.subarray(0, 0) };
    if (kind === 0) field.value = varint();
    else {
      const length = kind === 1 ? 8 : kind === 5 ? 4 : kind === 2 ? varint() : Infinity;
      if (at + length > message.length) throw new RangeError(`broken at byte ${at}`);
      field.bytes = message.subarray(at, at + length);
      at += length;
    }
    fields.push(field);
  }
  return fields;
}
