// Sequence classifiers by the names of transformers: one class for each family, and the one that takes any.
import { type BertConfig, type ModelConfig, withHead, withTask, type HeadOptions } from './config.js';
import type { EncoderModel } from './encoder-model.js';
import { ModelWithHead, ofItsClass, type ModelClass } from './model-class.js';
import { loadModel, type PretrainedOptions } from './pretrained.js';

/** Logits [sequences, numLabels], of one label or any number a text, or of numbers. `task` says which, and `config` what the labels are called. */
class SequenceClassifier extends ModelWithHead {
  static override readonly taskName = 'sequence-classification';
}

/**
 * BERT (Devlin et al. 2019): the pooled [CLS], tanh, and a linear layer.
 *
 * @example
 * ```ts
 * import { BertForSequenceClassification } from 'bertune';
 *
 * const model = await BertForSequenceClassification.fromPretrained('bert-base-uncased', { numLabels: 2 });
 * console.log(model.config.hiddenSize, model.task.labels);
 * ```
 */
export class BertForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'bert';
  declare readonly config: BertConfig;
}
/**
 * RoBERTa (Liu et al. 2019): no token types, and positions that begin behind that of the padding token.
 *
 * @example
 * ```ts
 * import { RobertaForSequenceClassification } from 'bertune';
 *
 * const model = await RobertaForSequenceClassification.fromPretrained('roberta-base', { numLabels: 2 });
 * ```
 */
export class RobertaForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'roberta';
}
/**
 * XLM-RoBERTa (Conneau et al. 2020): RoBERTa of 100 languages.
 *
 * @example
 * ```ts
 * import { XLMRobertaForSequenceClassification } from 'bertune';
 *
 * const model = await XLMRobertaForSequenceClassification.fromPretrained('xlm-roberta-base');
 * ```
 */
export class XLMRobertaForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'xlm-roberta';
}
/**
 * CamemBERT (Martin et al. 2020): RoBERTa of French.
 *
 * @example
 * ```ts
 * import { CamembertForSequenceClassification } from 'bertune';
 *
 * const model = await CamembertForSequenceClassification.fromPretrained('camembert-base', { numLabels: 3 });
 * ```
 */
export class CamembertForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'camembert';
}
/**
 * DistilBERT (Sanh et al. 2019): half the layers, no token types.
 *
 * @example
 * ```ts
 * import { DistilBertForSequenceClassification } from 'bertune';
 *
 * const model = await DistilBertForSequenceClassification.fromPretrained('distilbert-base-uncased');
 * ```
 */
export class DistilBertForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'distilbert';
}
/**
 * ELECTRA (Clark et al. 2020): the discriminator, whose embeddings may be narrower than its layers.
 *
 * @example
 * ```ts
 * import { ElectraForSequenceClassification } from 'bertune';
 *
 * const model = await ElectraForSequenceClassification.fromPretrained('google/electra-small-discriminator');
 * ```
 */
export class ElectraForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'electra';
}
/**
 * ModernBERT (Warner et al. 2024), and the models of its shape: Ettin, mmBERT, gte-modernbert.
 *
 * @example
 * ```ts
 * import { ModernBertForSequenceClassification } from 'bertune';
 *
 * const model = await ModernBertForSequenceClassification.fromPretrained('answerdotai/ModernBERT-base');
 * ```
 */
export class ModernBertForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'modernbert';
}
/**
 * ALBERT (Lan et al. 2020): layers that share their parameters, and narrow embeddings.
 *
 * @example
 * ```ts
 * import { AlbertForSequenceClassification } from 'bertune';
 *
 * const model = await AlbertForSequenceClassification.fromPretrained('albert/albert-base-v2', { numLabels: 2 });
 * ```
 */
export class AlbertForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'albert';
}
/**
 * MPNet (Song et al. 2020), and the sentence encoders of its shape: attention has a bias by the distance of two tokens.
 *
 * @example
 * ```ts
 * import { MPNetForSequenceClassification } from 'bertune';
 *
 * const model = await MPNetForSequenceClassification.fromPretrained('sentence-transformers/all-mpnet-base-v2');
 * ```
 */
export class MPNetForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'mpnet';
}
/**
 * DeBERTa-v2 and v3 (He et al. 2020 and 2021): attention that also compares words with distances.
 *
 * @example
 * ```ts
 * import { DebertaV2ForSequenceClassification } from 'bertune';
 *
 * const model = await DebertaV2ForSequenceClassification.fromPretrained('microsoft/deberta-v3-base');
 * ```
 */
export class DebertaV2ForSequenceClassification extends SequenceClassifier {
  static override readonly modelType = 'deberta-v2';
}

/** One for each family. */
export const SEQUENCE_CLASSIFIERS: readonly ModelClass[] = [
  BertForSequenceClassification,
  RobertaForSequenceClassification,
  XLMRobertaForSequenceClassification,
  CamembertForSequenceClassification,
  DistilBertForSequenceClassification,
  ElectraForSequenceClassification,
  ModernBertForSequenceClassification,
  AlbertForSequenceClassification,
  MPNetForSequenceClassification,
  DebertaV2ForSequenceClassification,
];

const task = 'sequence-classification';

/**
 * A classifier of whichever family the model_type of config.json names.
 *
 * @example
 * ```ts
 * import { AutoModelForSequenceClassification } from 'bertune';
 *
 * const model = await AutoModelForSequenceClassification.fromPretrained('bert-base-uncased', {
 *   labels: ['neg', 'pos'],
 * });
 * await model.close();
 * ```
 */
export class AutoModelForSequenceClassification {
  private constructor() {}

  /** As fromPretrained of the classes above, for all model types that bertune knows. */
  static async fromPretrained(idOrDir: string, options: PretrainedOptions = {}): Promise<EncoderModel> {
    return ofItsClass(await loadModel(idOrDir, options, { task }), SEQUENCE_CLASSIFIERS);
  }

  /** A model with random weights. */
  static fromConfig(config: ModelConfig, options: HeadOptions = {}): EncoderModel {
    return ofItsClass({ config: withHead(withTask(config, task, options), options) }, SEQUENCE_CLASSIFIERS);
  }
}
