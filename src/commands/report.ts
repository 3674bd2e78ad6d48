// `bertune report`, and the report that train and evaluate write: the facts that they have in hand, the page, and the live page.
// A report that cannot be written is a note: the run that it is of is worth more.
import { basename, join, resolve } from 'node:path';

import type { Dataset, DatasetDict } from '../data/dataset.js';
import type { Metrics, evaluateRows } from '../evaluation/evaluate.js';
import type { EncoderModel } from '../models/encoder-model.js';
import {
  differingOptions,
  type EvaluateOptions,
  type ReportOptions,
  type SearchOptions,
  type TrainOptions,
} from '../options/index.js';
import { EvaluationCollector } from '../report/evaluation.js';
import { REPORT_FACTS, reportFacts, type ReportFacts, type RunFacts } from '../report/facts.js';
import { readRun, runFactsOf } from '../report/folder.js';
import { ReportCallback } from '../report/history.js';
import { LIVE_SCRIPT, serveLive, type LiveServer } from '../report/live.js';
import { asLive, comparisonPage, reportPage } from '../report/page.js';
import { createMetrics, type Calibration, type MetricAccumulator } from '../tasks/index.js';
import type { Progress } from '../terminal/progress.js';
import type { BertTokenizer } from '../tokenizer/index.js';
import type { TrainerState } from '../training/state.js';
import { messageOf, UsageError } from '../util/errors.js';
import { makeFolder } from '../util/file-system.js';
import { writeFileAtomic } from '../util/files.js';
import { readJson } from '../util/json.js';
import { checkOutputFile, CommandProgress } from './output.js';
import { runOf, splitFacts } from './report-facts.js';

const PAGE = 'report.html';

/**
 * Writes the page of a run, or of two side by side.
 *
 * @throws UsageError for folders without anything to report
 */
export async function report(options: ReportOptions): Promise<void> {
  const progress = new CommandProgress(options);
  const [first = '', second, ...others] = options.runs;
  if (others.length > 0)
    throw new UsageError(
      `A report is of one run or compares two, and these are ${options.runs.length}: name one or two folders`,
    );
  const own = second === undefined ? PAGE : 'comparison.html';
  const path = options.outputFile ?? join(first, own);
  const [a, b] = [await readRun(first), second === undefined ? null : await readRun(second)];
  await checkOutputFile(path);
  await writeFileAtomic(path, b === null ? reportPage(withTexts(a, options)) : comparisonPage(a, b));
  progress.line(`The report is in ${path}`);
}

/** The run without the texts of its rows, where they are not to be shown. */
function withTexts(run: RunFacts, { reportTexts }: Pick<ReportOptions, 'reportTexts'>): RunFacts {
  if (reportTexts === 'on' || run.evaluation === undefined) return run;
  const worst = run.evaluation.worst.map(({ text: _t, textPair: _p, ...row }) => row);
  return { ...run, evaluation: { ...run.evaluation, worst } };
}

interface Parts {
  model: EncoderModel;
  tokenizer: BertTokenizer;
  maxLength: number;
  progress: Progress;
}

/** What an evaluation is to hand over for a report. */
type EvaluationHooks = Pick<Parameters<typeof evaluateRows>[2], 'metrics' | 'onPredicted'>;

/** Gathers what the report shows of one evaluation; a fault in it ends the gathering, not the evaluation. */
class Evaluated {
  readonly #metrics: MetricAccumulator;
  readonly #collector: EvaluationCollector;
  #fault: unknown = null;

  constructor(
    { task }: EncoderModel,
    calibration: Calibration,
    reportTexts: ReportOptions['reportTexts'],
    metrics?: MetricAccumulator,
  ) {
    this.#metrics = metrics ?? createMetrics(task);
    this.#collector = new EvaluationCollector(task, calibration, { withTexts: reportTexts === 'on' });
  }

  get hooks(): Required<EvaluationHooks> {
    return {
      metrics: this.#metrics,
      onPredicted: (batch) => {
        if (this.#fault !== null) return;
        try {
          this.#collector.add(batch);
        } catch (error) {
          this.#fault = error;
        }
      },
    };
  }

  facts(metrics: Metrics, calibration?: Calibration): ReturnType<EvaluationCollector['facts']> {
    if (this.#fault !== null) throw this.#fault;
    return this.#collector.facts(metrics, this.#metrics.details(), calibration);
  }
}

/** The least time between two live pages, and how many times longer than making one. */
const LIVE_MS = 1000;
const LIVE_SHARE = 20;

/** The report of a training, from its first step to the model that is saved; with `live` also on the way. */
export class TrainingReport {
  readonly callback: ReportCallback;
  /** Whether the report of the whole training was written. */
  isWritten = false;
  readonly #options: TrainOptions;
  readonly #parts: Parts;
  readonly #data: DatasetDict;
  #differing: Record<string, unknown> | undefined;
  #evaluated: Evaluated | undefined;
  #live: LiveServer | undefined;
  #newest = '';
  #writing: Promise<void> = Promise.resolve();
  #timer: NodeJS.Timeout | undefined;
  #nextAt = 0;
  #state: TrainerState | undefined;

  private constructor(options: TrainOptions, parts: Parts & { data: DatasetDict }) {
    this.#options = options;
    this.#parts = parts;
    this.#data = parts.data;
    this.callback = new ReportCallback(({ state }) => {
      this.#state = state;
      if (this.#live !== undefined && this.#nextAt < Infinity) this.#scheduleLive();
    });
  }

  /** @throws UsageError for a port that cannot be used */
  static async start(options: TrainOptions, parts: Parts & { data: DatasetDict }): Promise<TrainingReport> {
    const made = new TrainingReport(options, parts);
    if (!options.live) return made;
    made.#newest = made.#page({}, {});
    made.#live = await serveLive(() => asLive(made.#newest, LIVE_SCRIPT), options.livePort ?? 0);
    parts.progress.line(`The report is live at ${made.#live.url}`);
    return made;
  }

  /** For the evaluation at the end. */
  evaluationHooks(): EvaluationHooks {
    if (!this.#options.report) return {};
    const { model } = this.#parts;
    this.#evaluated = new Evaluated(model, {}, this.#options.reportTexts);
    return this.#evaluated.hooks;
  }

  /** Writes the report of a training whose model is saved. */
  async write(results: { train: Metrics; evaluation: Metrics }): Promise<void> {
    this.isWritten = true;
    await this.#endSoFar();
    if (!this.#options.report) return;
    await this.#guarded(async () => {
      const { outputDir } = this.#options;
      const { train, validation } = this.#data.splits;
      const facts: ReportFacts = {
        run: runOf(this.#parts.model),
        ...(train !== undefined && { train: await splitFacts(train, this.#parts) }),
        ...(validation !== undefined && { validation: await splitFacts(validation, this.#parts) }),
        ...(this.#evaluated !== undefined &&
          Object.keys(results.evaluation).length > 0 && {
            evaluation: this.#evaluated.facts(results.evaluation),
          }),
      };
      await writeFileAtomic(join(outputDir, REPORT_FACTS), `${JSON.stringify(facts)}\n`);
      await this.#writePage(this.#page(facts, { ...results.train, ...results.evaluation }));
      this.#parts.progress.line(`The report is in ${join(outputDir, PAGE)}`);
    });
  }

  /** Writes what there is of a training that ended early. */
  async writeUnfinished(): Promise<void> {
    if (this.#state === undefined || this.#state.log_history.length === 0) return;
    if (!this.#options.report && !this.#options.live) return;
    await this.#endSoFar();
    await this.#guarded(() => this.#writePage(this.#pageSoFar()));
  }

  async close(): Promise<void> {
    await this.#endSoFar();
    await this.#live?.close();
    this.#live = undefined;
  }

  /** The page of a training that is under way. */
  #pageSoFar(): string {
    return this.#page({ run: runOf(this.#parts.model) }, {});
  }

  async #writePage(page: string): Promise<void> {
    const { outputDir } = this.#options;
    await makeFolder(outputDir);
    await writeFileAtomic(join(outputDir, PAGE), page);
    this.#newest = page;
  }

  /** A page takes a while to draw: not more often than is a small share of the time. */
  #scheduleLive(): void {
    if (this.#timer !== undefined) return;
    this.#timer = setTimeout(
      () => {
        this.#timer = undefined;
        const began = performance.now();
        this.#writing = this.#guarded(async () => {
          const page = this.#pageSoFar();
          this.#nextAt = performance.now() + Math.max(LIVE_MS, LIVE_SHARE * (performance.now() - began));
          await this.#writePage(page);
          this.#live?.update();
        });
      },
      Math.max(this.#nextAt - performance.now(), 0),
    );
  }

  /** No page of a training under way is written from here on. */
  async #endSoFar(): Promise<void> {
    clearTimeout(this.#timer);
    this.#timer = undefined;
    this.#nextAt = Infinity;
    await this.#writing;
  }

  #page(facts: ReportFacts, results: Metrics): string {
    const options = (this.#differing ??= differingOptions(this.#options));
    const name = basename(resolve(this.#options.outputDir));
    return reportPage(runFactsOf(name, { state: this.#state ?? null, facts, results, options }));
  }

  #guarded(work: () => Promise<void>): Promise<void> {
    return guarded(this.#parts.progress, work);
  }
}

/** The report of `bertune evaluate`, in the folder that it writes its metrics to. */
export class EvaluationReport {
  readonly hooks: Required<EvaluationHooks>;
  readonly #evaluated: Evaluated;
  readonly #outputDir: string;
  readonly #parts: Parts;

  constructor(
    options: EvaluateOptions & { outputDir: string },
    parts: Parts & { calibration: Calibration; metrics: MetricAccumulator },
  ) {
    const { calibration, metrics, ...others } = parts;
    this.#evaluated = new Evaluated(parts.model, calibration, options.reportTexts, metrics);
    this.hooks = this.#evaluated.hooks;
    this.#outputDir = options.outputDir;
    this.#parts = others;
  }

  /** @param calibration with what was tuned on these rows */
  async write(metrics: Metrics, rows: Dataset, calibration: Calibration): Promise<void> {
    await guarded(this.#parts.progress, async () => {
      const path = join(this.#outputDir, REPORT_FACTS);
      // That of a training stays, of which this is another evaluation.
      const before = reportFacts.safeParse(await readJson(path).catch(() => ({})));
      const facts: ReportFacts = {
        run: runOf(this.#parts.model),
        ...before.data,
        validation: await splitFacts(rows, this.#parts),
        evaluation: this.#evaluated.facts(metrics, calibration),
      };
      await writeFileAtomic(path, `${JSON.stringify(facts)}\n`);
      await writeFileAtomic(join(this.#outputDir, PAGE), reportPage(await readRun(this.#outputDir)));
      this.#parts.progress.line(`The report is in ${join(this.#outputDir, PAGE)}`);
    });
  }
}

/** Writes the report of a search, of the trials that there are. */
export async function writeSearchReport(
  { outputDir, report: isWanted }: Pick<SearchOptions, 'outputDir' | 'report'>,
  progress: Progress,
): Promise<void> {
  if (!isWanted) return;
  await guarded(progress, async () =>
    writeFileAtomic(join(outputDir, PAGE), reportPage(await readRun(outputDir))),
  );
}

async function guarded(progress: Progress, work: () => Promise<void>): Promise<void> {
  try {
    await work();
  } catch (error) {
    progress.line(`note: the report was not written: ${messageOf(error)}`);
  }
}
