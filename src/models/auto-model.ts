// A model for whichever task: that of the head that is asked for, else that of the checkpoint.
import { taskKinds, type TaskName } from '../tasks/index.js';
import { taskNameOf, withHead, withTask, type HeadOptions, type ModelConfig } from './config.js';
import type { EncoderModel } from './encoder-model.js';
import { ofItsClass, type ModelClass } from './model-class.js';
import { MASKED_LMS } from './masked-lm.js';
import { loadModel, type LoadedModel, type PretrainedOptions } from './pretrained.js';
import { SEQUENCE_CLASSIFIERS } from './sequence-classification.js';
import { TOKEN_CLASSIFIERS } from './token-classification.js';

const CLASSES: Readonly<Record<TaskName, readonly ModelClass[]>> = {
  'sequence-classification': SEQUENCE_CLASSIFIERS,
  'token-classification': TOKEN_CLASSIFIERS,
  'masked-lm': MASKED_LMS,
};

/** As `fromPretrained` of the class for `task`, else for that of `options.problemType`, else for that of the checkpoint. */
export async function loadAnyModel(
  idOrDir: string,
  options: PretrainedOptions = {},
  task?: TaskName | 'as saved',
): Promise<EncoderModel> {
  return ofItsTask(await loadModel(idOrDir, options, task === undefined ? {} : { task }));
}

/** The same with random weights. */
export function anyModelOf(config: ModelConfig, head: HeadOptions): EncoderModel {
  const { problemType } = head;
  const own =
    problemType === undefined ? config : withTask(config, taskKinds[problemType].name, { problemType });
  return ofItsTask({ config: withHead(own, head) });
}

function ofItsTask(loaded: LoadedModel): EncoderModel {
  return ofItsClass(loaded, CLASSES[taskNameOf(loaded.config)]);
}
