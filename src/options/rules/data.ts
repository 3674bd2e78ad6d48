// Where rows come from: files or the hub, and which of them validate.
import type { EvaluateOptions, TrainOptions } from '../commands.js';
import type { NameOf, Problem, Rule } from './rule.js';

export function oneSource<F extends 'trainFile' | 'validationFile' | 'testFile'>(
  files: F,
): Rule<{ dataset?: string } & Readonly<Record<F, readonly string[]>>> {
  return (o, name) => {
    const paths: readonly string[] = o[files];
    if (paths.length > 0 && o.dataset !== undefined) {
      const message = `${name(files)} and ${name('dataset')} exclude each other; keep one of them`;
      return { about: 'dataset', message };
    }
    if (paths.length > 0 || o.dataset !== undefined) return undefined;
    const what = `a csv, tsv, jsonl, json or parquet file (or ${name('dataset')}, a hub dataset)`;
    return { about: files, message: `${name(files)} is needed: ${what}` };
  };
}

export function splitsNeedDataset(
  o: { dataset?: string; datasetConfig?: string; validationSplit?: string | number },
  name: NameOf,
): Problem | undefined {
  if (o.dataset !== undefined) return undefined;
  const about = o.datasetConfig !== undefined ? 'datasetConfig' : 'validationSplit';
  if (o[about] === undefined || typeof o[about] === 'number') return undefined;
  return {
    about,
    message: `${name(about)} needs ${name('dataset')}: files have no configurations or splits`,
  };
}

export function foldsBringRows(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.crossValidation === undefined) return undefined;
  const rivals = ['validationSplit', 'validationFile', 'resumeFromCheckpoint'] as const;
  const other = rivals.find((option) => {
    const value = o[option];
    return Array.isArray(value) ? value.length > 0 : value !== undefined && value !== false;
  });
  const [rival, why] =
    other === undefined && o.loadBestModelAtEnd
      ? (['loadBestModelAtEnd', 'folds save nothing, so that there is no best checkpoint to load'] as const)
      : ([other, 'every row is trained on and evaluated on in turn'] as const);
  if (rival === undefined) return undefined;
  const message = `${name('crossValidation')} and ${name(rival)} exclude each other: ${why}`;
  return { about: 'crossValidation', message };
}

/** Which rows a share means, only the training knows that set them aside. */
export function wholeSplit(o: EvaluateOptions, name: NameOf): Problem | undefined {
  if (typeof o.validationSplit !== 'number') return undefined;
  const message = `${name('validationSplit')} takes the name of a split here; a share is set aside in training only`;
  return { about: 'validationSplit', message };
}

export function validationRows(o: TrainOptions, name: NameOf): Problem | undefined {
  if (o.validationFile.length > 0 && o.dataset !== undefined) {
    return {
      about: 'validationFile',
      message: `${name('validationFile')} and ${name('dataset')} exclude each other; choose rows with ${name('validationSplit')}`,
    };
  }
  if (o.validationFile.length > 0 && typeof o.validationSplit === 'number') {
    const message = `${name('validationFile')} and a share as ${name('validationSplit')} exclude each other; keep one of them`;
    return { about: 'validationSplit', message };
  }
  const setsAside = typeof o.validationSplit === 'number' || o.crossValidation !== undefined;
  if (o.validationGroupColumn !== undefined && !setsAside) {
    const message = `${name('validationGroupColumn')} needs a share as ${name('validationSplit')}, such as 0.1, or ${name('crossValidation')}`;
    return { about: 'validationGroupColumn', message };
  }
  const hasRows = o.validationFile.length > 0 || o.dataset !== undefined || setsAside;
  if (o.evalStrategy === 'no' || hasRows) return undefined;
  return {
    about: 'evalStrategy',
    message: `${name('evalStrategy')} ${o.evalStrategy} needs ${name('validationFile')} or ${name('validationSplit')}: there are no rows to evaluate on`,
  };
}
