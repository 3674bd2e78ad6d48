// config.json both ways as transformers reads and writes it, and what it may not say.
// Expected values: scripts/reference/model.py.
import { readFile } from 'node:fs/promises';
import { join } from 'node:path';
import tap from 'tap';

import { UsageError } from '../../dist/util/errors.js';
import { configJson, parseConfig, withHead, withLabels, withTask } from '../../dist/models/config.js';
import { areDefaultLabels } from '../../dist/models/labels.js';
import { writeJson } from '../../dist/util/files.js';
import { expected, fails } from '../fixtures/model-files.js';

await tap.test('config.json is read and written as transformers does', async (t) => {
  for (const { file, written } of expected.configs) {
    const config = withTask(parseConfig(file, 'config.json'), 'sequence-classification', {});
    t.strictSame(configJson(config), written, JSON.stringify(file).slice(0, 80));
    const again = parseConfig(JSON.parse(JSON.stringify(written)), 'config.json');
    t.strictSame(configJson(again), written, 'and once more');
    t.strictSame(config.warnings, []);
  }
  const relabelled = withLabels(parseConfig({}, 'x'), ['a', 'b', 'c'], 'regression');
  const { id2label, label2id, problem_type } = configJson(relabelled);
  t.strictSame(
    { id2label, label2id, problem_type },
    { id2label: { 0: 'a', 1: 'b', 2: 'c' }, label2id: { a: 0, b: 1, c: 2 }, problem_type: 'regression' },
  );
  const oneNumber = parseConfig({ num_labels: 1 }, 'x');
  t.throws(() => withHead(oneNumber, { problemType: 'single_label_classification' }), {
    name: 'UsageError',
    message:
      'problemType single_label_classification needs two labels, and the model has one; use regression',
  });
  t.equal(withHead(oneNumber, { problemType: 'multi_label_classification' }).numLabels, 1);
  t.equal(areDefaultLabels(['LABEL_0', 'LABEL_1']), true);
  t.equal(areDefaultLabels(['LABEL_1', 'LABEL_0']), false);
});

await tap.test('the bases of rotary positions, in the older keys and the newer', (t) => {
  // rope_parameters of ModernBertConfig(...) in transformers 5.18, but for the null, which only its older models read.
  const cases: [file: Record<string, unknown>, full: number, sliding: number][] = [
    [{}, 160_000, 10_000],
    [{ global_rope_theta: 5 }, 5, 10_000],
    [{ local_rope_theta: 7 }, 160_000, 7],
    [{ global_rope_theta: 5, local_rope_theta: null }, 5, 5],
    [{ global_rope_theta: 5, rope_parameters: null }, 5, 10_000],
    [{ rope_parameters: { full_attention: { rope_theta: 5 } } }, 5, 10_000],
    [{ global_rope_theta: 5, rope_parameters: { full_attention: {} } }, 5, 10_000],
    [
      {
        rope_parameters: { full_attention: { rope_type: 'default' }, sliding_attention: { rope_theta: 7 } },
      },
      160_000,
      7,
    ],
  ];
  for (const [file, full, sliding] of cases) {
    const config = parseConfig({ model_type: 'modernbert', ...file }, 'config.json');
    t.match(
      configJson(config)['rope_parameters'],
      {
        full_attention: { rope_theta: full, rope_type: 'default' },
        sliding_attention: { rope_theta: sliding, rope_type: 'default' },
      },
      JSON.stringify(file),
    );
  }
  t.end();
});

await tap.test('config.json with what cannot be done', async (t) => {
  const act = 'one of gelu, gelu_python, gelu_new';
  const cases: [file: unknown, ...words: string[]][] = [
    [[], 'a JSON object', 'config.json'],
    [null, 'a JSON object'],
    [
      { model_type: 'deberta' },
      '"deberta"',
      'model types albert, bert, camembert, deberta-v2, distilbert, electra, modernbert, mpnet, roberta, xlm-roberta',
    ],
    [{ model_type: 'Bert' }, '"Bert"'],
    [
      { model_type: 'roberta', dim: 768 },
      'dim',
      'distilbert models',
      'model type roberta',
      'correct model_type',
    ],
    [{ embedding_size: 128 }, 'embedding_size', 'electra models', 'model type bert'],
    [{ model_type: 'distilbert', intermediate_size: 8 }, 'intermediate_size', 'model type distilbert'],
    [{ model_type: 'distilbert', dim: 10, hidden_size: 20 }, 'both dim and hidden_size', 'keep dim'],
    [{ model_type: 'distilbert', dim: 10, n_heads: 3 }, 'dim (10)', 'n_heads (3)'],
    [{ model_type: 'distilbert', activation: 'elu' }, 'activation', act, '"elu"'],
    [{ model_type: 'distilbert', seq_classif_dropout: null }, 'seq_classif_dropout', 'null'],
    [{ model_type: 'distilbert', sinusoidal_pos_embds: 1 }, 'sinusoidal_pos_embds', 'true or false'],
    [{ model_type: 'electra', embedding_size: 0 }, 'embedding_size', 'received 0'],
    [{ model_type: 'electra', summary_type: 1 }, 'summary_type', 'a text'],
    [{ model_type: 'roberta', pad_token_id: null }, 'pad_token_id', 'null'],
    [{ model_type: 'roberta', max_position_embeddings: 2 }, 'max_position_embeddings (2)', 'start at 2'],
    [{ model_type: 'roberta', eos_token_id: 'x' }, 'eos_token_id', 'a list of them'],
    [{ model_type: 'roberta', is_decoder: true }, 'is_decoder', 'false'],
    [
      { model_type: 'modernbert', hidden_size: 30, num_attention_heads: 6 },
      'hidden_size (30) and num_attention_heads (6)',
      'heads of size 5',
    ],
    [{ model_type: 'modernbert', rope_parameters: 'x' }, 'rope_parameters', 'one object for each', '"x"'],
    [
      { model_type: 'modernbert', rope_parameters: [1] },
      'rope_parameters',
      'one object for each',
      'an array',
    ],
    [
      { model_type: 'modernbert', rope_parameters: { full_attention: 'x' } },
      'rope_parameters.full_attention',
      'an object with rope_theta',
    ],
    [{ model_type: 'modernbert', rope_parameters: { rope_theta: 1e4 } }, 'one object for each'],
    [{ model_type: 'modernbert', rope_scaling: { type: 'yarn' } }, 'rope_scaling', 'null'],
    [
      { model_type: 'albert', num_hidden_layers: 3, num_hidden_groups: 4 },
      'num_hidden_groups (4)',
      'num_hidden_layers (3)',
    ],
    [
      { model_type: 'albert', num_hidden_layers: 100, inner_group_num: 11 },
      'inner_group_num (11)',
      'more than 1000',
    ],
    [{ model_type: 'albert', inner_group_num: 0 }, 'inner_group_num', 'received 0'],
    [{ model_type: 'albert', classifier_dropout_prob: null }, 'classifier_dropout_prob', 'null'],
    [
      { model_type: 'mpnet', relative_attention_num_buckets: 16 },
      'relative_attention_num_buckets',
      '32',
      '16',
    ],
    [{ model_type: 'mpnet', vocab_size: 1 }, 'vocab_size (1)'],
    ...[
      [{ conv_kernel_size: 3 }, 'conv_kernel_size', '0 (no convolution', 'received 3'],
      [{ embedding_size: 8 }, 'embedding_size', 'narrower embeddings are not supported', 'received 8'],
      [{ attention_head_size: 32 }, 'attention_head_size', '64', 'received 32'],
      [{ pooler_hidden_size: 8 }, 'pooler_hidden_size', '1536 (hidden_size)', 'received 8'],
      [{ pos_att_type: ['p2p'] }, 'pos_att_type', '"c2p" or "p2c"', '"p2p"'],
      [{ pos_att_type: 'c2p', relative_attention: false }, 'relative_attention', 'true', 'received false'],
      [{ relative_attention: true, pos_att_type: null }, 'relative_attention', 'false', 'received true'],
      [{ position_buckets: 2 }, 'position_buckets', '4 or more', 'received 2'],
      [{ position_buckets: 256, max_relative_positions: 129 }, 'max_relative_positions', '130 to', '129'],
      [{ max_relative_positions: 40_000 }, 'max_relative_positions', '1 to 32768', '40000'],
    ].map(([file, ...words]): [unknown, ...string[]] => [
      {
        model_type: 'deberta-v2',
        relative_attention: true,
        pos_att_type: ['c2p'],
        ...(file as Record<string, unknown>),
      },
      ...(words as string[]),
    ]),
    [{ use_cache: 'no' }, 'use_cache', 'true or false'],
    [{ architectures: ['GPT2LMHeadModel'] }, '"GPT2LMHeadModel"'],
    [{ hidden_act: 'xielu' }, 'hidden_act', act, '"xielu"'],
    [{ hidden_act: 'toString' }, 'hidden_act', act],
    [{ position_embedding_type: 'relative_key' }, 'position_embedding_type', '"absolute"', '"relative_key"'],
    [{ is_decoder: true }, 'is_decoder', 'false'],
    [{ add_cross_attention: true }, 'add_cross_attention', 'false'],
    [{ quantization_config: { bits: 4 } }, 'quantization_config'],
    [{ hidden_size: 10, num_attention_heads: 3 }, 'hidden_size (10)', 'num_attention_heads (3)'],
    [{ hidden_size: '768' }, 'hidden_size', '"768"'],
    [{ vocab_size: 0 }, 'vocab_size', 'received 0'],
    [{ vocab_size: 30.5 }, 'vocab_size', '30.5'],
    [{ num_hidden_layers: 2_000_000_000 }, 'num_hidden_layers', 'from 1 to 1000'],
    [{ max_position_embeddings: -1 }, 'max_position_embeddings', '-1'],
    [{ type_vocab_size: 0 }, 'type_vocab_size'],
    [{ hidden_dropout_prob: 1 }, 'hidden_dropout_prob', 'below 1'],
    [{ attention_probs_dropout_prob: null }, 'attention_probs_dropout_prob', 'null'],
    [{ classifier_dropout: -0.1 }, 'classifier_dropout', '-0.1'],
    [{ layer_norm_eps: 0 }, 'layer_norm_eps', 'above 0'],
    [{ initializer_range: 'small' }, 'initializer_range', '"small"'],
    [{ pad_token_id: -1 }, 'pad_token_id', '-1'],
    [{ pad_token_id: 30, vocab_size: 30 }, 'pad_token_id (30)', 'vocab_size (30)'],
    [{ problem_type: 'ranking' }, 'problem_type', 'regression', '"ranking"'],
    [{ problem_type: 'single_label_classification', num_labels: 1 }, 'problem_type', 'one label'],
    [{ num_labels: 0 }, 'num_labels'],
    [{ id2label: {} }, 'id2label', 'at least one class'],
    [{ id2label: ['a', 'b'] }, 'id2label', 'an object of class ids'],
    [{ id2label: { zero: 'a', one: 'b' } }, 'id2label', '"zero"', 'whole numbers'],
    [{ id2label: { 0: 'a', 1: {} } }, 'id2label.1', 'a class name'],
    [{ label2id: 5 }, 'label2id', '5'],
    [{ architectures: 'BertModel' }, 'architectures', '"BertModel"'],
  ];
  for (const [file, ...words] of cases) {
    const label = JSON.stringify(file);
    await fails(t, label, UsageError, ['config.json', ...words], () => parseConfig(file, 'config.json'));
  }
  const odd = {
    auto_map: { AutoModel: 'x.Y' },
    id2label: { 0: 'a', 1: 'b' },
    label2id: { LABEL_0: 0, LABEL_1: 1 },
  };
  const { warnings, label2id, raw } = parseConfig(odd, 'config.json');
  t.match(warnings, [/label2id .* config\.json/, /auto_map .* ignored/]);
  t.strictSame(
    [...label2id],
    [
      ['a', 0],
      ['b', 1],
    ],
    'id2label decides',
  );
  t.strictSame(raw, {}, 'auto_map is not written back');
});

// What transformers 5.18 makes of them, but for names that are there twice: AutoConfig.from_pretrained(...).num_labels.
await tap.test('label maps that transformers takes although they are odd', (t) => {
  const read = (file: object) => {
    const { numLabels, id2label, warnings } = parseConfig({ model_type: 'bert', ...file }, 'config.json');
    return { numLabels, id2label, warnings: warnings.length };
  };
  t.same(read({ id2label: { 1: 'a', 2: 'b', 3: 'c' } }), {
    numLabels: 3,
    id2label: ['a', 'b', 'c'],
    warnings: 1,
  });
  t.same(read({ id2label: { 0: 'a', 2: 'b' } }), { numLabels: 2, id2label: ['a', 'b'], warnings: 1 });
  t.same(read({ id2label: { 0: 'a', 1: 'a', 2: 'a (2)' } }), {
    numLabels: 3,
    id2label: ['a', 'a (3)', 'a (2)'],
    warnings: 1,
  });
  t.same(read({ num_labels: 3, id2label: { 0: 'a', 1: 'b' } }), {
    numLabels: 3,
    id2label: ['LABEL_0', 'LABEL_1', 'LABEL_2'],
    warnings: 1,
  });
  t.same(read({ id2label: { 10: 'k', 9: 'j', 0: 'a' } }).id2label, ['a', 'j', 'k'], 'ordered as numbers');
  t.same(read({ id2label: { 0: 'a', 1: 'b' }, label2id: { a: 0, b: 1 } }).warnings, 0);
  t.end();
});

// transformers 5.18: "Field 'layer_norm_eps' expected float, got int (value: 1)".
await tap.test('a float is written with its point', async (t) => {
  const config = parseConfig(
    { model_type: 'bert', layer_norm_eps: 1, initializer_range: 2, rate: 3 },
    'config.json',
  );
  const file = join(t.testdir(), 'config.json');
  await writeJson(file, configJson(config));
  const text = await readFile(file, 'utf8');
  t.match(text, /^ {2}"layer_norm_eps": 1\.0,$/m);
  t.match(text, /^ {2}"initializer_range": 2\.0,$/m);
  t.match(text, /^ {2}"vocab_size": 30522$/m);
  t.match(text, /^ {2}"rate": 3,$/m);
  t.strictSame(parseConfig(JSON.parse(text), 'config.json').layerNormEps, 1);
  const odd = { '\u0000float 1': '\u0000float x', number: 1e-12 };
  await writeJson(file, odd);
  t.strictSame(JSON.parse(await readFile(file, 'utf8')), odd, 'a text stays a text');
});
