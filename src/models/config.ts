// The hyper-parameters of a BERT classifier in the checked, typed form that the rest of bertune uses.

import { UsageError } from '../util/errors.js';
import type { HiddenAct } from './activations.js';
import { checkConfigFile, isUsedKey } from './config-schema.js';
import type { ConfigFile } from './config-schema.js';
import { regression, singleLabel, type ProblemType } from '../tasks/index.js';
import { labelsOf, parseLabels } from './labels.js';
import type { Labels } from './labels.js';

/** The shape and hyper-parameters of a BERT classifier; the fields of config.json in camelCase. */
export interface BertConfig extends Labels {
  vocabSize: number;
  hiddenSize: number;
  numHiddenLayers: number;
  numAttentionHeads: number;
  intermediateSize: number;
  hiddenAct: HiddenAct;
  hiddenDropoutProb: number;
  attentionProbsDropoutProb: number;
  /** Dropout before the classifier; null means hiddenDropoutProb. */
  classifierDropout: number | null;
  /** The longest sequence, in tokens. */
  maxPositionEmbeddings: number;
  typeVocabSize: number;
  /** Standard deviation of random initial weights. */
  initializerRange: number;
  layerNormEps: number;
  padTokenId: number | null;
  /** Null where the file leaves it open: it then follows from the labels. */
  problemType: ProblemType | null;
  /** Other keys of the file, kept to be written back. */
  raw: Readonly<Record<string, unknown>>;
  /** What a person should know about how the file was read. */
  warnings: readonly string[];
}

/** Keys that name Python code for transformers to run, with trust_remote_code. They are not passed on. */
const REMOTE_CODE = ['auto_map', 'custom_pipelines'];

/** Keys that hold for the files they were read with and not for the ones we write. */
const NOT_KEPT = new Set([
  '_commit_hash',
  '_name_or_path',
  ...REMOTE_CODE,
  'dtype',
  'is_encoder_decoder',
  'per_layer_config',
  'quantization_config',
  'torch_dtype',
  'transformers_version',
  'transformers_weights',
]);

/**
 * Parses the content of a config.json; absent keys have the defaults of transformers' `BertConfig`.
 *
 * @param json the parsed file
 * @param where the file, for messages
 * @throws UsageError naming the key and the file, e.g. when the model is not a BERT or a value is out of range
 */
export function parseBertConfig(json: unknown, where: string): BertConfig {
  const file = checkConfigFile(json, where);
  const { labels, warnings } = parseLabels(file, where);
  const { problem_type: problemType } = file;
  if (problemType === singleLabel.problemType && labels.numLabels === 1) {
    throw new UsageError(
      `problem_type in ${where} is ${problemType} with one label; use ${regression.problemType}, or two labels`,
    );
  }
  for (const key of REMOTE_CODE) {
    if (file[key] === undefined) continue;
    warnings.push(`${key} in ${where} is ignored: bertune runs no code from a model folder`);
  }
  const raw = Object.fromEntries(
    Object.entries(file).filter(([key]) => !isUsedKey(key) && !NOT_KEPT.has(key)),
  );
  return { ...labels, ...hyperParameters(file), raw, warnings };
}

/** The same model for other classes: every label field and the problem type at once. */
export function withLabels(
  config: BertConfig,
  names: readonly string[],
  problemType: ProblemType,
): BertConfig {
  return { ...config, ...labelsOf(names), problemType };
}

function hyperParameters(file: ConfigFile): Omit<BertConfig, keyof Labels | 'raw' | 'warnings'> {
  return {
    vocabSize: file.vocab_size,
    hiddenSize: file.hidden_size,
    numHiddenLayers: file.num_hidden_layers,
    numAttentionHeads: file.num_attention_heads,
    intermediateSize: file.intermediate_size,
    hiddenAct: file.hidden_act,
    hiddenDropoutProb: file.hidden_dropout_prob,
    attentionProbsDropoutProb: file.attention_probs_dropout_prob,
    classifierDropout: file.classifier_dropout,
    maxPositionEmbeddings: file.max_position_embeddings,
    typeVocabSize: file.type_vocab_size,
    initializerRange: file.initializer_range,
    layerNormEps: file.layer_norm_eps,
    padTokenId: file.pad_token_id,
    problemType: file.problem_type ?? null,
  };
}
