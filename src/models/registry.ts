// The families that bertune knows, by the model_type of config.json.
import { UsageError } from '../util/errors.js';
import { quoted } from '../util/text.js';
import { albert } from './albert.js';
import { bert } from './bert.js';
import { debertaV2 } from './deberta-v2.js';
import { distilbert } from './distilbert.js';
import { electra } from './electra.js';
import type { ModelFamily } from './family.js';
import { modernbert } from './modernbert.js';
import { mpnet } from './mpnet.js';
import { camembert, roberta, xlmRoberta } from './roberta.js';

export const FAMILIES: readonly ModelFamily[] = [
  bert,
  roberta,
  xlmRoberta,
  camembert,
  distilbert,
  electra,
  modernbert,
  albert,
  mpnet,
  debertaV2,
];

/** @throws UsageError naming the families that there are */
export function familyOf(modelType: string, where = 'The config'): ModelFamily {
  const family = FAMILIES.find((known) => known.modelType === modelType);
  if (family !== undefined) return family;
  const known = FAMILIES.map((each) => each.modelType).toSorted();
  throw new UsageError(
    `${where} describes a ${quoted(modelType)} model; bertune supports the model types ${known.join(', ')}`,
  );
}

/** The model type that a class of transformers is of; undefined for one of a family that bertune does not know. */
export function modelTypeOfClass(className: string): string | undefined {
  return FAMILIES.find(({ classPrefix }) => className.startsWith(classPrefix))?.modelType;
}
