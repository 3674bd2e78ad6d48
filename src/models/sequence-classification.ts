// Sequence classifiers by the names of transformers: one class for each family, and the one that takes any.
import { type BertConfig, type ModelConfig, withHead, type HeadOptions } from './config.js';
import { EncoderModel } from './encoder-model.js';
import { loadModel, requireType, type LoadedModel, type PretrainedOptions } from './pretrained.js';

interface ClassifierClass<Model extends EncoderModel> {
  readonly modelType: string;
  new (loaded: LoadedModel): Model;
}

/**
 * An encoder with the head of the class of that name in transformers: logits [sequences, numLabels], of one label or any number a
 * text, or of numbers. `task` says which, and `config` what the labels are called.
 */
class SequenceClassifier extends EncoderModel {
  /** The only one that the class opens. */
  static readonly modelType: string = '';

  /**
   * Opens a checkpoint from a folder or a Hugging Face hub id; weights are read when the model is first used.
   *
   * @throws UsageError for a folder that holds no usable model of this type; RunError when the hub is out of reach
   */
  static async fromPretrained<Model extends EncoderModel>(
    this: ClassifierClass<Model>,
    idOrDir: string,
    options: PretrainedOptions = {},
  ): Promise<Model> {
    return new this(await loadModel(idOrDir, options, this.modelType));
  }

  /**
   * A model with random weights, as the class of transformers makes one of a config.
   *
   * @throws UsageError for a config of another model type
   */
  static fromConfig<Model extends EncoderModel>(
    this: ClassifierClass<Model>,
    config: Model['config'],
    options: HeadOptions = {},
  ): Model {
    requireType(config, this.modelType, 'The config');
    return new this({ config: withHead(config, options) });
  }
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

const CLASSES: readonly ClassifierClass<EncoderModel>[] = [
  BertForSequenceClassification,
  RobertaForSequenceClassification,
  XLMRobertaForSequenceClassification,
  CamembertForSequenceClassification,
  DistilBertForSequenceClassification,
  ElectraForSequenceClassification,
  ModernBertForSequenceClassification,
  AlbertForSequenceClassification,
  MPNetForSequenceClassification,
];

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
    return ofItsClass(await loadModel(idOrDir, options));
  }

  /** A model with random weights. */
  static fromConfig(config: ModelConfig, options: HeadOptions = {}): EncoderModel {
    return ofItsClass({ config: withHead(config, options) });
  }
}

function ofItsClass(loaded: LoadedModel): EncoderModel {
  const { modelType } = loaded.config;
  const Class = CLASSES.find((each) => each.modelType === modelType) ?? SequenceClassifier;
  return new Class(loaded);
}
