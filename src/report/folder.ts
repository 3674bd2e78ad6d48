// The facts of a run from the files of its folder: that of a finished training, one with checkpoints alone, or that of a search.
import { readFile } from 'node:fs/promises';
import { basename, join, resolve } from 'node:path';
import { z } from 'zod';

import { listCheckpoints } from '../formats/model-folder.js';
import { differingOptions, parseTrainOptions } from '../options/index.js';
import { bestMetric, numberOrNaN, TRAINER_STATE } from '../training/state.js';
import { RESUME_STATE } from '../training/resume.js';
import { UsageError } from '../util/errors.js';
import { exists, isFolder } from '../util/file-system.js';
import { readJson } from '../util/json.js';
import { RESUMED, resumedSteps } from './history.js';
import {
  REPORT_FACTS,
  reportFacts,
  type LogEntry,
  type ReportFacts,
  type RunFacts,
  type TrialFacts,
} from './facts.js';

/** What is read of a trainer_state.json, which transformers may have written too. */
const state = z.object({
  log_history: z.array(z.record(z.string(), z.unknown())),
  global_step: z.number(),
  max_steps: z.number(),
  logging_steps: z.number().exactOptional(),
  best_model_checkpoint: z.string().nullish(),
  best_global_step: z.number().nullish(),
  stateful_callbacks: z.record(z.string(), z.unknown()).exactOptional(),
});
export type StateFacts = z.input<typeof state>;

const metricsFile = z.record(z.string(), z.unknown());

/**
 * @throws UsageError for a folder without anything to report, and naming a file that is damaged
 */
export async function readRun(directory: string): Promise<RunFacts> {
  if (!(await isFolder(directory))) throw new UsageError(`There is no folder ${directory} to report on`);
  const newest = (await listCheckpoints(directory)).at(-1);
  const stateFolder = (await exists(join(directory, TRAINER_STATE))) ? directory : newest;
  const found = stateFolder === undefined ? null : await readAs(join(stateFolder, TRAINER_STATE), state);
  const facts = (await readAs(join(directory, REPORT_FACTS), reportFacts)) ?? {};
  const results = {
    ...(await readAs(join(directory, 'all_results.json'), metricsFile)),
    ...(await readAs(join(directory, 'eval_results.json'), metricsFile)),
  };
  const search = await searchIn(directory);
  if (
    found === null &&
    search === null &&
    Object.keys(facts).length === 0 &&
    Object.keys(results).length === 0
  )
    throw new UsageError(
      `${directory} has nothing to report: no ${TRAINER_STATE}, no checkpoint, no eval_results.json and no search.jsonl. Name the output folder of a training, an evaluation or a search`,
    );
  const options =
    (await optionsIn(directory)) ?? (stateFolder === undefined ? {} : await settingsIn(stateFolder));
  return runFactsOf(basename(resolve(directory)), { state: found, facts, results, options, search });
}

/** What a run knows of itself as it knows it in its files. */
export function runFactsOf(
  name: string,
  parts: {
    state: StateFacts | null;
    facts: ReportFacts;
    results: Readonly<Record<string, unknown>>;
    options: Readonly<Record<string, unknown>>;
    search?: RunFacts['search'];
  },
): RunFacts {
  const { state: found, facts, options, search = null } = parts;
  const history = (found?.log_history ?? []).map(numbersOf);
  const step = /checkpoint-(?<step>\d+)$/.exec(found?.best_model_checkpoint ?? '')?.groups?.['step'];
  const metric = options['metricForBestModel'];
  const decides = typeof metric === 'string' ? bestMetric({ metricForBestModel: metric }).key : 'eval_loss';
  return {
    ...facts,
    name,
    history,
    bestStep: found?.best_global_step ?? (step === undefined ? null : Number(step)),
    bestMetric: found === null ? null : decides,
    resumed: resumedSteps(found?.stateful_callbacks?.[RESUMED]),
    steps:
      found === null
        ? null
        : {
            done: found.global_step,
            planned: found.max_steps,
            // With another strategy transformers writes the value, too.
            ...(found.logging_steps !== undefined &&
              (options['loggingStrategy'] ?? 'steps') === 'steps' && { betweenLogs: found.logging_steps }),
          },
    results: numbersOf(parts.results),
    options,
    search,
  };
}

function numbersOf(entry: Readonly<Record<string, unknown>>): LogEntry {
  return Object.fromEntries(
    Object.entries(entry).flatMap(([name, value]) => {
      const number = numberOrNaN.safeParse(value);
      return number.success ? [[name, number.data]] : [];
    }),
  );
}

/** @returns null where there is no such file */
async function readAs<T>(path: string, schema: z.ZodType<T>): Promise<T | null> {
  if (!(await exists(path))) return null;
  const { data, error } = schema.safeParse(await readJson(path));
  if (data !== undefined) return data;
  const [issue] = error?.issues ?? [];
  throw new UsageError(
    `${path} is damaged: ${issue?.path.join('.') || 'its content'}: ${issue?.message}; remove it to report on the rest`,
  );
}

/** The options of the training that differ from their defaults; null where they are not known or not understood. */
async function optionsIn(directory: string): Promise<Record<string, unknown> | null> {
  const path = join(directory, 'training_options.json');
  try {
    return differingOptions(
      parseTrainOptions({ file: { path, text: JSON.stringify(await readJson(path)) } }).options,
    );
  } catch {
    return null;
  }
}

/** What a checkpoint alone knows of the options of its run. */
async function settingsIn(folder: string): Promise<Record<string, unknown>> {
  const saved = z.object({ settings: z.record(z.string(), z.unknown()) });
  const found = saved.safeParse(await readJson(join(folder, RESUME_STATE)).catch(() => null));
  return found.success ? found.data.settings : {};
}

const searchHeader = z.object({
  metricForBestModel: z.string(),
  greaterIsBetter: z.boolean().exactOptional(),
});
const searchLine = z.object({
  number: z.number(),
  params: z.record(z.string(), z.unknown()),
  state: z.enum(['complete', 'pruned', 'failed']),
  value: z.number().nullable(),
});

async function searchIn(directory: string): Promise<RunFacts['search']> {
  const path = join(directory, 'search.jsonl');
  if (!(await exists(path))) return null;
  // A process that was killed while it wrote leaves a line without an end.
  const [first = '', ...lines] = (await readFile(path, 'utf8')).split('\n').slice(0, -1);
  try {
    const { key, greaterIsBetter } = bestMetric(searchHeader.parse(JSON.parse(first)));
    return {
      metric: key,
      greaterIsBetter,
      trials: lines.map((line): TrialFacts => searchLine.parse(JSON.parse(line))),
    };
  } catch {
    throw new UsageError(
      `${path} is damaged: a line of it is none of a search; remove it to report on the rest`,
    );
  }
}
