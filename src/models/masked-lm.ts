// Masked language models by the names of transformers: one class for each family, and the one that takes any.
import { type BertConfig, type ModelConfig, withTask } from './config.js';
import type { EncoderModel } from './encoder-model.js';
import { ModelWithHead, ofItsClass, type ModelClass } from './model-class.js';
import { loadModel, type PretrainedOptions } from './pretrained.js';

const task = 'masked-lm';

/** Logits [tokens, vocabulary] by the table of the word embeddings. */
class MaskedLm extends ModelWithHead {
  static override readonly taskName = task;
}

/**
 * BERT (Devlin et al. 2019), as a masked language model.
 *
 * @example
 * ```ts
 * import { BertForMaskedLM } from 'bertune';
 *
 * const model = await BertForMaskedLM.fromPretrained('bert-base-uncased');
 * ```
 */
export class BertForMaskedLM extends MaskedLm {
  static override readonly modelType = 'bert';
  declare readonly config: BertConfig;
}

/**
 * RoBERTa (Liu et al. 2019), as a masked language model.
 *
 * @example
 * ```ts
 * import { RobertaForMaskedLM } from 'bertune';
 *
 * const model = await RobertaForMaskedLM.fromPretrained('roberta-base');
 * ```
 */
export class RobertaForMaskedLM extends MaskedLm {
  static override readonly modelType = 'roberta';
}

/**
 * XLM-RoBERTa (Conneau et al. 2020), as a masked language model.
 *
 * @example
 * ```ts
 * import { XLMRobertaForMaskedLM } from 'bertune';
 *
 * const model = await XLMRobertaForMaskedLM.fromPretrained('xlm-roberta-base');
 * ```
 */
export class XLMRobertaForMaskedLM extends MaskedLm {
  static override readonly modelType = 'xlm-roberta';
}

/**
 * CamemBERT (Martin et al. 2020), as a masked language model.
 *
 * @example
 * ```ts
 * import { CamembertForMaskedLM } from 'bertune';
 *
 * const model = await CamembertForMaskedLM.fromPretrained('camembert-base');
 * ```
 */
export class CamembertForMaskedLM extends MaskedLm {
  static override readonly modelType = 'camembert';
}

/**
 * DistilBERT (Sanh et al. 2019), as a masked language model.
 *
 * @example
 * ```ts
 * import { DistilBertForMaskedLM } from 'bertune';
 *
 * const model = await DistilBertForMaskedLM.fromPretrained('distilbert-base-uncased');
 * ```
 */
export class DistilBertForMaskedLM extends MaskedLm {
  static override readonly modelType = 'distilbert';
}

/**
 * ELECTRA (Clark et al. 2020): the generator, as a masked language model.
 *
 * @example
 * ```ts
 * import { ElectraForMaskedLM } from 'bertune';
 *
 * const model = await ElectraForMaskedLM.fromPretrained('google/electra-small-generator');
 * ```
 */
export class ElectraForMaskedLM extends MaskedLm {
  static override readonly modelType = 'electra';
}

/**
 * ModernBERT (Warner et al. 2024), as a masked language model.
 *
 * @example
 * ```ts
 * import { ModernBertForMaskedLM } from 'bertune';
 *
 * const model = await ModernBertForMaskedLM.fromPretrained('answerdotai/ModernBERT-base');
 * ```
 */
export class ModernBertForMaskedLM extends MaskedLm {
  static override readonly modelType = 'modernbert';
}

/**
 * DeBERTa-v2 and v3 (He et al. 2020 and 2021), as a masked language model.
 *
 * @example
 * ```ts
 * import { DebertaV2ForMaskedLM } from 'bertune';
 *
 * const model = await DebertaV2ForMaskedLM.fromPretrained('microsoft/deberta-v3-base');
 * ```
 */
export class DebertaV2ForMaskedLM extends MaskedLm {
  static override readonly modelType = 'deberta-v2';
}

/**
 * MPNet (Song et al. 2020), as a masked language model.
 *
 * @example
 * ```ts
 * import { MPNetForMaskedLM } from 'bertune';
 *
 * const model = await MPNetForMaskedLM.fromPretrained('microsoft/mpnet-base');
 * ```
 */
export class MPNetForMaskedLM extends MaskedLm {
  static override readonly modelType = 'mpnet';
}

/**
 * ALBERT (Lan et al. 2020), as a masked language model.
 *
 * @example
 * ```ts
 * import { AlbertForMaskedLM } from 'bertune';
 *
 * const model = await AlbertForMaskedLM.fromPretrained('albert/albert-base-v2');
 * ```
 */
export class AlbertForMaskedLM extends MaskedLm {
  static override readonly modelType = 'albert';
}

/** One for each family. */
export const MASKED_LMS: readonly ModelClass[] = [
  BertForMaskedLM,
  RobertaForMaskedLM,
  XLMRobertaForMaskedLM,
  CamembertForMaskedLM,
  DistilBertForMaskedLM,
  ElectraForMaskedLM,
  ModernBertForMaskedLM,
  DebertaV2ForMaskedLM,
  MPNetForMaskedLM,
  AlbertForMaskedLM,
];

/**
 * A masked language model of whichever family the model_type of config.json names.
 *
 * @example
 * ```ts
 * import { AutoModelForMaskedLM } from 'bertune';
 *
 * const model = await AutoModelForMaskedLM.fromPretrained('bert-base-uncased');
 * await model.close();
 * ```
 */
export class AutoModelForMaskedLM {
  private constructor() {}

  /** As fromPretrained of the classes above, for all model types that bertune knows. */
  static async fromPretrained(idOrDir: string, options: PretrainedOptions = {}): Promise<EncoderModel> {
    return ofItsClass(await loadModel(idOrDir, options, { task }), MASKED_LMS);
  }

  /** A model with random weights. */
  static fromConfig(config: ModelConfig): EncoderModel {
    return ofItsClass({ config: withTask(config, task, {}) }, MASKED_LMS);
  }
}
