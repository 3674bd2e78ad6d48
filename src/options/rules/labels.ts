// The labels that are named, and how many there are to be.
import { taskKinds } from '../../tasks/index.js';
import type { TrainOptions } from '../commands.js';
import type { NameOf, Problem } from './rule.js';

export function headSize(o: TrainOptions, name: NameOf): Problem | undefined {
  const { numLabels, labelList } = o;
  if (numLabels === undefined || labelList === undefined || labelList.length === numLabels) return undefined;
  return {
    about: 'numLabels',
    message: `${name('numLabels')} is ${numLabels} but ${name('labelList')} has ${labelList.length}; leave ${name('numLabels')} out`,
  };
}

export function distinctLabels(o: TrainOptions, name: NameOf): Problem | undefined {
  const twice = o.labelList?.find((label, i, all) => all.indexOf(label) !== i);
  if (twice === undefined) return undefined;
  return { about: 'labelList', message: `${name('labelList')} has ${JSON.stringify(twice)} twice` };
}

export function labelsOfRegression(o: TrainOptions, name: NameOf): Problem | undefined {
  const { problemType, labelList } = o;
  if (problemType === undefined || taskKinds[problemType].hasClasses || labelList === undefined)
    return undefined;
  return {
    about: 'labelList',
    message: `${name('labelList')} does not go with ${name('problemType')} ${problemType}, which predicts numbers`,
  };
}
