// config.json both ways as transformers reads and writes it, and what it may not say.
// Expected values: scripts/reference/model.py.
import tap from 'tap';

import { UsageError } from '../../dist/util/errors.js';
import { parseBertConfig, withLabels } from '../../dist/models/config.js';
import { bertConfigJson } from '../../dist/formats/config-json.js';
import { areDefaultLabels } from '../../dist/models/labels.js';
import { expected, fails } from '../fixtures/model-files.js';

await tap.test('config.json is read and written as transformers does', async (t) => {
  for (const { file, written } of expected.configs) {
    const config = parseBertConfig(file, 'config.json');
    t.strictSame(bertConfigJson(config), written, JSON.stringify(file).slice(0, 80));
    const again = parseBertConfig(JSON.parse(JSON.stringify(written)), 'config.json');
    t.strictSame(bertConfigJson(again), written, 'and once more');
    t.strictSame(config.warnings, []);
  }
  const relabelled = withLabels(parseBertConfig({}, 'x'), ['a', 'b', 'c'], 'regression');
  const { id2label, label2id, problem_type } = bertConfigJson(relabelled);
  t.strictSame(
    { id2label, label2id, problem_type },
    { id2label: { 0: 'a', 1: 'b', 2: 'c' }, label2id: { a: 0, b: 1, c: 2 }, problem_type: 'regression' },
  );
  t.equal(areDefaultLabels(['LABEL_0', 'LABEL_1']), true);
  t.equal(areDefaultLabels(['LABEL_1', 'LABEL_0']), false);
});

await tap.test('config.json with what cannot be done', async (t) => {
  const act = 'one of gelu, gelu_python, gelu_new';
  const cases: [file: unknown, ...words: string[]][] = [
    [[], 'a JSON object', 'config.json'],
    [null, 'a JSON object'],
    [{ model_type: 'roberta' }, '"roberta"', 'model_type "bert"'],
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
    [{ num_labels: 3, id2label: { 0: 'a', 1: 'b' } }, 'num_labels is 3', '2 classes'],
    [{ id2label: {} }, 'id2label', 'at least one class'],
    [{ id2label: ['a', 'b'] }, 'id2label', 'an object of class ids'],
    [{ id2label: { 1: 'a', 2: 'b' } }, 'id2label', 'id 0'],
    [{ id2label: { 0: 'a', 1: 'a' } }, 'id2label', 'two ids'],
    [{ id2label: { 0: 'a', 1: {} } }, 'id2label.1', 'a class name'],
    [{ label2id: 5 }, 'label2id', '5'],
    [{ architectures: 'BertModel' }, 'architectures', '"BertModel"'],
  ];
  for (const [file, ...words] of cases) {
    const label = JSON.stringify(file);
    await fails(t, label, UsageError, ['config.json', ...words], () => parseBertConfig(file, 'config.json'));
  }
  const odd = {
    auto_map: { AutoModel: 'x.Y' },
    id2label: { 0: 'a', 1: 'b' },
    label2id: { LABEL_0: 0, LABEL_1: 1 },
  };
  const { warnings, label2id, raw } = parseBertConfig(odd, 'config.json');
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
