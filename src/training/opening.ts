// Where a run begins: at the first step, or at a checkpoint of a run that was the same.
import { basename } from 'node:path';

import { listed } from '../util/counted.js';
import { areDefaultLabels } from '../models/labels.js';
import { listCheckpoints } from '../formats/step-checkpoints.js';
import { changesOf, hasOtherMetric } from './changes.js';
import { intactCheckpoint, resumeFrom, savedIn } from './checkpoint.js';
import { requireUntrained, runIdentity, startWeights, weightsToCompare } from './identity.js';
import { removeLeftovers } from './leftovers.js';
import type { NativeSteps } from './native-steps.js';
import { markRun } from './run-mark.js';
import type { Run } from './run.js';
import { readSavedState } from './saved-state.js';
import { withoutBest } from './state.js';

/**
 * Makes an open model ready for the first step that is to be done.
 *
 * @throws UsageError for a checkpoint that cannot be resumed
 */
export async function openRun(run: Run, native: NativeSteps, maxLength: number): Promise<void> {
  const { parts, plan, say } = run;
  const { args, model } = parts;
  await removeLeftovers(args.outputDir);
  run.identity = await runIdentity(args, { ...parts, maxLength });
  if (args.saveStrategy !== 'no') run.identity = { ...run.identity, ...(await startWeights(model)) };
  const { updates } = await model.session.stats();
  await native.begin();
  tellOfOtherLabels(run);
  const request = args.resumeFromCheckpoint;
  if (request === undefined || request === false) {
    await tellOfOlderCheckpoints(run);
    return beginAnew(run);
  }
  const folder = await intactCheckpoint(args.outputDir, request, { needsBest: args.loadBestModelAtEnd, say });
  if (folder === null) return beginAnew(run);
  const { identity } = (await readSavedState(savedIn(folder))).resume;
  requireUntrained(folder, identity, updates);
  run.identity = { ...run.identity, ...(await weightsToCompare(model, identity, run.identity)) };
  const saved = await resumeFrom(folder, model, run.identity);
  if (hasOtherMetric(folder, saved, args)) saved.state = withoutBest(saved.state);
  native.goOnFrom(saved.resume);
  run.goOnFrom(folder, saved);
  await markRun(args.outputDir, run.id);
  say(`Resuming from ${folder} at step ${saved.resume.step} of ${plan.totalSteps}`);
  const isAtEnd = saved.resume.step >= plan.totalSteps;
  if (isAtEnd)
    say(
      'note: that training is at its end; no step is left to do unless there are more epochs (--num-train-epochs, --max-steps)',
    );
  const { settings } = saved.resume;
  const changes = settings === undefined ? [] : changesOf(settings, run.settings); // none known of an earlier version's
  if (changes.length > 0)
    say(
      `note: the settings are not those of the checkpoint, ` +
        `${isAtEnd ? 'with which the model was trained' : 'and so the result will differ'}: ${changes.join('; ')}`,
    );
}

/** A run that saves nothing, such as a fold, leaves the folder to the one that it is at; if it is interrupted it marks it. */
async function beginAnew({ parts, id }: Run): Promise<void> {
  const { outputDir, saveStrategy } = parts.args;
  if (saveStrategy !== 'no') await markRun(outputDir, id);
}

/**
 * A script that gives the number of labels alone gets predictions that call them LABEL_1, and one that gives others than
 * those of the data gets names that may stand for other classes.
 */
function tellOfOtherLabels({ parts, say }: Run): void {
  const { labels } = parts.model.task;
  const { task } = parts.trainDataset;
  if (task === undefined || !parts.model.task.kind.hasClasses) return;
  const areOther = !labels.some((label) => task.labels.includes(label));
  const sayNothing = areDefaultLabels(task.labels) || task.labels.every((label) => /^\d+$/.test(label));
  if (areOther && !sayNothing)
    say(
      `note: the model calls its labels ${listed(labels, 3)}, and so will its predictions; give it those of the data ` +
        `(${listed(task.labels, 3)}): fromPretrained(..., data.task)`,
    );
}

async function tellOfOlderCheckpoints({ parts, say }: Run): Promise<void> {
  const { outputDir, saveStrategy } = parts.args;
  const last = (await listCheckpoints(outputDir)).at(-1);
  if (last === undefined) return;
  say(
    `note: ${outputDir} holds checkpoints of an earlier training, the last at ${basename(last)}; ` +
      (saveStrategy === 'no'
        ? 'with which --resume-from-checkpoint goes on. '
        : 'those of the same steps will be replaced, and to go on from another one --resume-from-checkpoint must name it. ') +
      'Remove them, or choose another output folder.',
  );
}
