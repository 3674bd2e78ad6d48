// Whether the options of the loss fit each other, the problem and the labels.
import { counted } from '../../util/counted.js';
import { taskKinds, type LossOption as OptionOfLoss, type ProblemType } from '../../tasks/index.js';
import type { TrainingArguments } from '../commands.js';
import type { NameOf, Problem } from './rule.js';

type LossArguments = Pick<
  TrainingArguments,
  'labelSmoothingFactor' | 'focalGamma' | 'classWeights' | 'posWeight'
> & { problemType?: ProblemType; labelList?: readonly string[] };

const lossOptionNames = ['labelSmoothingFactor', 'focalGamma', 'classWeights', 'posWeight'] as const;
type LossOption = (typeof lossOptionNames)[number];

/** What the loss of a task calls each option, and why other tasks lack it. */
const meant: Readonly<Record<LossOption, { readonly known: OptionOfLoss; readonly why: string }>> = {
  labelSmoothingFactor: { known: 'labelSmoothing', why: 'it smooths classes' },
  focalGamma: { known: 'focalGamma', why: 'it weighs classes' },
  classWeights: { known: 'classWeights', why: 'it weighs classes of which a row has one' },
  posWeight: { known: 'posWeight', why: 'it weighs the labels that a row has against those that it lacks' },
};

/** Misfits of the loss's options, among them label weights of the wrong number, which names the labels. */
export function lossProblems(o: LossArguments, name: NameOf): Problem[] {
  const { problemType } = o;
  const misfits = lossOptionsUsed(o).filter(
    (option) =>
      problemType !== undefined && !taskKinds[problemType].lossOptions.includes(meant[option].known),
  );
  return [
    ...misfits.map((about) => ({
      about,
      message: `${name(about)} does not go with ${name('problemType')} ${problemType}: ${meant[about].why}`,
    })),
    ...exclusions(o, name),
    ...wrongCounts(o, name),
  ];
}

function lossOptionsUsed(o: LossArguments): LossOption[] {
  const used: Readonly<Record<LossOption, boolean>> = {
    labelSmoothingFactor: o.labelSmoothingFactor > 0,
    focalGamma: o.focalGamma !== undefined && o.focalGamma > 0,
    classWeights: o.classWeights !== undefined,
    posWeight: o.posWeight !== undefined,
  };
  return lossOptionNames.filter((option) => used[option]);
}

function exclusions(o: LossArguments, name: NameOf): Problem[] {
  const used = lossOptionsUsed(o);
  const pairs: readonly (readonly [LossOption, LossOption, string])[] = [
    ['focalGamma', 'labelSmoothingFactor', 'a focal loss has no smoothed form'],
    ['posWeight', 'classWeights', 'one is for several labels a row, the other for one label a row'],
  ];
  return pairs
    .filter(([a, b]) => used.includes(a) && used.includes(b))
    .map(([about, other, why]) => ({
      about,
      message: `${name(about)} and ${name(other)} exclude each other: ${why}; keep one of them`,
    }));
}

function wrongCounts({ labelList, ...o }: LossArguments, name: NameOf): Problem[] {
  if (labelList === undefined) return [];
  return (['classWeights', 'posWeight'] as const).flatMap((about) => {
    const given = o[about];
    if (!Array.isArray(given) || given.length === labelList.length) return [];
    const labels = labelList.slice(0, 20).join(', ') + (labelList.length > 20 ? ' ...' : '');
    const message = `${name(about)} has ${counted(given.length, 'value')} but there are ${labelList.length} labels: ${labels}`;
    return [{ about, message }];
  });
}
