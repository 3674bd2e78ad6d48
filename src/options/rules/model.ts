// What the model starts from, and what LoRA needs of it.
import type { TrainOptions } from '../commands.js';
import type { NameOf, Problem } from './rule.js';

export function oneModel(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.model !== undefined && o.config !== undefined) {
    return {
      about: 'config',
      message: `${name('model')} and ${name('config')} exclude each other: the first brings weights, the second starts from random ones`,
    };
  }
  if (o.model !== undefined || o.config !== undefined) return undefined;
  return {
    about: 'model',
    message: `${name('model')} is needed: a model folder or a hub id such as bert-base-uncased`,
  };
}

export function tokenizerOfConfig(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.config === undefined || o.model !== undefined || o.tokenizer !== undefined) return undefined;
  return {
    about: 'config',
    message: `${name('config')} needs ${name('tokenizer')}: a config.json brings no vocabulary`,
  };
}

export function loraNeedsRank(o: TrainOptions, name: NameOf): Problem | undefined {
  const others = ['loraAlpha', 'loraDropout', 'loraTargetModules'] as const;
  const about = others.find((option) => o[option] !== undefined);
  if (about === undefined || o.loraRank !== undefined) return undefined;
  return {
    about,
    message: `${name(about)} needs ${name('loraRank')}, such as 8: without it there is no LoRA`,
  };
}

/** An adapter's file names the model that it belongs to. */
export function loraNeedsModel(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.config === undefined) return undefined;
  const about = (['loraRank', 'baseModel'] as const).find((option) => o[option] !== undefined);
  if (about === undefined) return undefined;
  return { about, message: `${name(about)} needs ${name('model')}: random weights are nothing to adapt` };
}
