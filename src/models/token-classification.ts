// Classifiers of tokens by the names of transformers: one class for each family, and the one that takes any.
import { type BertConfig, type ModelConfig, withHead, withTask, type HeadOptions } from './config.js';
import type { EncoderModel } from './encoder-model.js';
import { ModelWithHead, ofItsClass, type ModelClass } from './model-class.js';
import { loadModel, type PretrainedOptions } from './pretrained.js';

/** Logits [tokens, numLabels]: a class for each token, as entities are found. */
class TokenClassifier extends ModelWithHead {
  static override readonly taskName = 'token-classification';
}

/**
 * BERT (Devlin et al. 2019): a linear layer on each token.
 *
 * @example
 * ```ts
 * import { BertForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await BertForTokenClassification.fromPretrained('bert-base-cased', { labels });
 * ```
 */
export class BertForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'bert';
  declare readonly config: BertConfig;
}
/**
 * RoBERTa (Liu et al. 2019), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { RobertaForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await RobertaForTokenClassification.fromPretrained('roberta-base', { labels });
 * ```
 */
export class RobertaForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'roberta';
}
/**
 * XLM-RoBERTa (Conneau et al. 2020), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { XLMRobertaForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await XLMRobertaForTokenClassification.fromPretrained('xlm-roberta-base', { labels });
 * ```
 */
export class XLMRobertaForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'xlm-roberta';
}
/**
 * CamemBERT (Martin et al. 2020), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { CamembertForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await CamembertForTokenClassification.fromPretrained('camembert-base', { labels });
 * ```
 */
export class CamembertForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'camembert';
}
/**
 * DistilBERT (Sanh et al. 2019), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { DistilBertForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await DistilBertForTokenClassification.fromPretrained('distilbert-base-cased', { labels });
 * ```
 */
export class DistilBertForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'distilbert';
}
/**
 * ELECTRA (Clark et al. 2020), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { ElectraForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await ElectraForTokenClassification.fromPretrained('google/electra-base-discriminator', { labels });
 * ```
 */
export class ElectraForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'electra';
}
/**
 * ModernBERT (Warner et al. 2024), as a classifier of tokens, with the dense layer of its masked-LM head before.
 *
 * @example
 * ```ts
 * import { ModernBertForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await ModernBertForTokenClassification.fromPretrained('answerdotai/ModernBERT-base', { labels });
 * ```
 */
export class ModernBertForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'modernbert';
}
/**
 * ALBERT (Lan et al. 2020), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { AlbertForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await AlbertForTokenClassification.fromPretrained('albert/albert-base-v2', { labels });
 * ```
 */
export class AlbertForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'albert';
}
/**
 * MPNet (Song et al. 2020), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { MPNetForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await MPNetForTokenClassification.fromPretrained('microsoft/mpnet-base', { labels });
 * ```
 */
export class MPNetForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'mpnet';
}
/**
 * DeBERTa-v2 and v3 (He et al. 2020 and 2021), as a classifier of tokens.
 *
 * @example
 * ```ts
 * import { DebertaV2ForTokenClassification } from 'bertune';
 *
 * const labels = ['O', 'B-PER', 'I-PER'];
 * const model = await DebertaV2ForTokenClassification.fromPretrained('microsoft/deberta-v3-base', { labels });
 * ```
 */
export class DebertaV2ForTokenClassification extends TokenClassifier {
  static override readonly modelType = 'deberta-v2';
}

/** One for each family. */
export const TOKEN_CLASSIFIERS: readonly ModelClass[] = [
  BertForTokenClassification,
  RobertaForTokenClassification,
  XLMRobertaForTokenClassification,
  CamembertForTokenClassification,
  DistilBertForTokenClassification,
  ElectraForTokenClassification,
  ModernBertForTokenClassification,
  AlbertForTokenClassification,
  MPNetForTokenClassification,
  DebertaV2ForTokenClassification,
];

const task = 'token-classification';

/**
 * A classifier of tokens of whichever family the model_type of config.json names.
 *
 * @example
 * ```ts
 * import { AutoModelForTokenClassification } from 'bertune';
 *
 * const model = await AutoModelForTokenClassification.fromPretrained('bert-base-cased', {
 *   labels: ['O', 'B-PER', 'I-PER'],
 * });
 * await model.close();
 * ```
 */
export class AutoModelForTokenClassification {
  private constructor() {}

  /** As fromPretrained of the classes above, for all model types that bertune knows. */
  static async fromPretrained(idOrDir: string, options: PretrainedOptions = {}): Promise<EncoderModel> {
    return ofItsClass(await loadModel(idOrDir, options, { task }), TOKEN_CLASSIFIERS);
  }

  /** A model with random weights. */
  static fromConfig(config: ModelConfig, options: HeadOptions = {}): EncoderModel {
    return ofItsClass({ config: withHead(withTask(config, task, options), options) }, TOKEN_CLASSIFIERS);
  }
}
