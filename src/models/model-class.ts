// What the classes by the names of transformers have in common: one for each family and task, which open no other model.
import type { TaskName } from '../tasks/index.js';
import { withHead, withTask, type HeadOptions } from './config.js';
import { EncoderModel } from './encoder-model.js';
import { loadModel, requireType, type LoadedModel, type PretrainedOptions } from './pretrained.js';

export interface ModelClass<Model extends EncoderModel = EncoderModel> {
  readonly modelType: string;
  readonly taskName: TaskName;
  new (loaded: LoadedModel): Model;
}

/** An encoder with the head of the class of that name in transformers. */
export class ModelWithHead extends EncoderModel {
  /** The only one that the class opens. */
  static readonly modelType: string = '';
  static readonly taskName: TaskName = 'sequence-classification';

  /**
   * Opens a checkpoint from a folder or a Hugging Face hub id; weights are read when the model is first used.
   *
   * @throws UsageError for a folder that holds no usable model of this type; RunError when the hub is out of reach
   */
  static async fromPretrained<Model extends EncoderModel>(
    this: ModelClass<Model>,
    idOrDir: string,
    options: PretrainedOptions = {},
  ): Promise<Model> {
    return new this(await loadModel(idOrDir, options, { task: this.taskName, modelType: this.modelType }));
  }

  /**
   * A model with random weights, as the class of transformers makes one of a config.
   *
   * @throws UsageError for a config of another model type
   */
  static fromConfig<Model extends EncoderModel>(
    this: ModelClass<Model>,
    config: Model['config'],
    options: HeadOptions = {},
  ): Model {
    requireType(config, this.modelType, 'The config');
    return new this({ config: withHead(withTask(config, this.taskName, options), options) });
  }
}

/** An open checkpoint as an object of the class for its family. */
export function ofItsClass(loaded: LoadedModel, classes: readonly ModelClass[]): EncoderModel {
  const { modelType } = loaded.config;
  const Class = classes.find((each) => each.modelType === modelType) ?? ModelWithHead;
  return new Class(loaded);
}
