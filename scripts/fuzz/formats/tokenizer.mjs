// tokenizer.json or a vocabulary with the files beside them: loaded, used on awkward texts, saved and loaded again.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { BertTokenizer } from '../../../dist/tokenizer/index.js';
import { defineFormat, utf8 } from '../format.mjs';
import { mutateBytes } from '../mutate-bytes.mjs';
import { mutateJson } from '../mutate-json.mjs';
import { filesOf } from '../tiny-model.mjs';

const VOCAB = ['[PAD]', '[UNK]', '[CLS]', '[SEP]', '[MASK]', 'a', 'b', '##a', '##b', 'ab', '.', 'é'].join(
  '\n',
);
const TEXTS = [
  'a b ab. [MASK] é',
  'a'.repeat(3000),
  'ab '.repeat(300),
  ' \t\n\u00a0\u3000\0\u200d\ufeff',
  'é̂́ ﬁ ſ ß Σς 漢字 😀 \ud800 __proto__ constructor',
];

/** With one key, `a`, which becomes `b`. */
const CHARSMAP = (() => {
  const units = new Uint32Array(256);
  units[0] = 0x40 << 10;
  units[0x40 ^ 0x61] = ((0x21 ^ 0x80) << 10) | 0x100 | 0x61;
  units[0x80] = 0x80000000;
  const map = Buffer.concat([Buffer.of(0, 4, 0, 0), Buffer.from(units.buffer), Buffer.from('b\0')]);
  return { type: 'Precompiled', precompiled_charsmap: map.toString('base64') };
})();

/** Tokenizers of other kinds. */
const OTHERS = [
  {
    model: {
      type: 'BPE',
      vocab: { a: 0, b: 1, ab: 2, Ġ: 3, '[UNK]': 4 },
      merges: [['a', 'b']],
      unk_token: '[UNK]',
    },
    pre_tokenizer: { type: 'ByteLevel', add_prefix_space: false, trim_offsets: true, use_regex: true },
    decoder: { type: 'ByteLevel' },
  },
  {
    model: {
      type: 'Unigram',
      unk_id: 0,
      vocab: [
        ['<unk>', 0],
        ['a', -1],
        ['b', -2],
        ['▁', -3],
      ],
    },
    normalizer: {
      type: 'Sequence',
      normalizers: [
        { type: 'NFKC' },
        { type: 'Lowercase' },
        { type: 'Replace', pattern: { String: 'x' }, content: 'a' },
      ],
    },
    pre_tokenizer: { type: 'Metaspace', replacement: '▁', prepend_scheme: 'always', split: true },
  },
  {
    model: {
      type: 'BPE',
      vocab: { a: 0, b: 1, ab: 2, '▁': 3, u: 4 },
      merges: ['a b'],
      unk_token: 'u',
      byte_fallback: true,
      fuse_unk: true,
      ignore_merges: true,
    },
    normalizer: {
      type: 'Sequence',
      normalizers: [CHARSMAP, { type: 'Prepend', prepend: '▁' }, { type: 'StripAccents' }],
    },
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'Punctuation', behavior: 'Isolated' },
        { type: 'Split', pattern: { String: ' ' }, behavior: 'MergedWithPrevious', invert: false },
      ],
    },
    post_processor: {
      type: 'Sequence',
      processors: [
        { type: 'ByteLevel', add_prefix_space: true, trim_offsets: false },
        {
          type: 'RobertaProcessing',
          sep: ['a', 0],
          cls: ['b', 1],
          trim_offsets: true,
          add_prefix_space: false,
        },
      ],
    },
  },
  {
    model: {
      type: 'Unigram',
      unk_id: 0,
      byte_fallback: true,
      vocab: [
        ['<unk>', 0],
        ['▁', -1],
        ['ab', -2],
        ['<0xC3>', 0],
        ['<0xA9>', 0],
      ],
    },
    normalizer: CHARSMAP,
    pre_tokenizer: {
      type: 'Sequence',
      pretokenizers: [
        { type: 'WhitespaceSplit' },
        { type: 'Metaspace', replacement: '▁', prepend_scheme: 'first', split: true },
      ],
    },
  },
];

/** Older files. */
const VOCABULARIES = [
  {
    'vocab.json': utf8(
      JSON.stringify({ '<s>': 0, '<pad>': 1, '</s>': 2, '<unk>': 3, a: 4, b: 5, ab: 6, Ġ: 7 }),
    ),
    'merges.txt': utf8('#version: 0.2\na b\n'),
    'tokenizer_config.json': utf8(
      JSON.stringify({ tokenizer_class: 'RobertaTokenizer', add_prefix_space: true }),
    ),
  },
  {
    'spm.model': Buffer.concat([
      ...['<unk>', '<s>', '</s>', '▁', 'a', 'b'].map((piece) =>
        field(1, [...field(1, utf8(piece)), 0x15, 0, 0, 0x80, 0xbf]),
      ),
      field(3, field(2, Buffer.from(CHARSMAP.precompiled_charsmap, 'base64'))),
    ]),
    'config.json': utf8('{"model_type": "camembert"}'),
  },
];

/** A field of a protobuf message. @param {number} number @param {ArrayLike<number>} bytes */
function field(number, bytes) {
  return Buffer.from([
    number * 8 + 2,
    (bytes.length % 128) + 128,
    Math.floor(bytes.length / 128),
    ...Array.from(bytes),
  ]);
}

export const tokenizer = defineFormat({
  name: 'tokenizer',
  async seeds() {
    const fromVocab = {
      'vocab.txt': utf8(`${VOCAB}\n`),
      'tokenizer_config.json': utf8(
        JSON.stringify({ do_lower_case: true, model_max_length: 16, tokenizer_class: 'BertTokenizer' }),
      ),
      'special_tokens_map.json': utf8(
        JSON.stringify({ unk_token: '[UNK]', cls_token: { content: '[CLS]' } }),
      ),
      'added_tokens.json': utf8(JSON.stringify({ extra: 12 })),
    };
    const folder = mkdtempSync(join(tmpdir(), 'bertune-fuzz-'));
    const { writeFileSync } = await import('node:fs');
    for (const [name, bytes] of Object.entries(fromVocab)) writeFileSync(join(folder, name), bytes);
    const loaded = await BertTokenizer.fromPretrained(folder);
    rmSync(folder, { recursive: true });
    const { 'vocab.txt': _, ...json } = await filesOf((target) => loaded.savePretrained(target));
    const others = OTHERS.map((parts) => {
      const whole = {
        version: '1.0',
        added_tokens: [{ id: 4, content: '<x>', special: true }],
        normalizer: null,
        post_processor: null,
        ...parts,
      };
      return { 'tokenizer.json': utf8(JSON.stringify(whole)) };
    });
    return [json, fromVocab, ...others, ...VOCABULARIES];
  },
  mutate(files, random) {
    const name = random.pick(Object.keys(files));
    const bytes = files[name] ?? new Uint8Array();
    return {
      ...files,
      [name]: !name.endsWith('.json')
        ? mutateBytes(bytes.length > 0 ? bytes : utf8('a'), random)
        : mutateJson(bytes, random),
    };
  },
  async read(folder) {
    const loaded = await BertTokenizer.fromPretrained(folder);
    const saved = `${folder}-saved`;
    rmSync(saved, { recursive: true, force: true });
    await loaded.savePretrained(saved);
    return { loaded, ids: idsOf(loaded), again: idsOf(await BertTokenizer.fromPretrained(saved)) };
  },
  check({ loaded, ids, again }) {
    const wrong = ids.flat().find((id) => !(Number.isInteger(id) && id >= 0 && id < loaded.vocabSize));
    if (wrong !== undefined) return `gives the id ${wrong} with ${loaded.vocabSize} tokens`;
    if (loaded.vocabSize > 2 ** 31) return `claims ${loaded.vocabSize} tokens`;
    return JSON.stringify(ids) === JSON.stringify(again)
      ? null
      : 'gives other ids when it is saved and loaded again';
  },
});

/** @param {BertTokenizer} loaded */
function idsOf(loaded) {
  return [
    ...TEXTS.map((text) => [...loaded.encode(text).ids]),
    [...loaded.encode(TEXTS[0] ?? '', TEXTS[2], { maxLength: 16 }).ids],
  ];
}
