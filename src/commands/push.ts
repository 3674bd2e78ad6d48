// `bertune push`: a model's folder becomes a repository of the hub. And the pushes of a training, while it runs and at its end.
import { basename, resolve } from 'node:path';
import type { PushCommandOptions, TrainOptions } from '../options/index.js';
import { openHubPush, pushToHub, type HubPush } from '../publishing/push.js';
import type { Progress } from '../terminal/progress.js';
import type { TrainerCallback, TrainerEvent } from '../training/callbacks.js';
import { messageOf, RunError, UsageError } from '../util/errors.js';
import { isFolder } from '../util/file-system.js';
import { commandLine, shellWord } from '../util/installation.js';
import { withoutUndefined } from '../util/without-undefined.js';
import { modelFolder } from './model-source.js';
import { CommandProgress } from './output.js';

/** @throws UsageError for a folder without a model, and for what the hub refuses; RunError when the hub does not answer */
export async function push(options: PushCommandOptions): Promise<void> {
  const { model, quiet } = options;
  const progress = new CommandProgress(options);
  if (!(await isFolder(model)))
    throw new UsageError(`${model} is not a folder; name that of a trained model`);
  const directory = await modelFolder({ model });
  const sink = quiet ? { progress: (line: string) => progress.line(line) } : {};
  progress.line(await pushToHub(directory, { ...options, ...sink }));
}

/** What a training pushes, if it was asked to. */
export class TrainingPush implements TrainerCallback {
  readonly #hub: HubPush;
  readonly #options: TrainOptions;
  readonly #progress: Progress;
  /** The pushes of checkpoints, which are not waited for. */
  #running: Promise<void> | undefined;
  /** The newest checkpoint that waits for the running push. */
  #next: { folder: string; step: number } | undefined;

  private constructor(hub: HubPush, options: TrainOptions, progress: Progress) {
    this.#hub = hub;
    this.#options = options;
    this.#progress = progress;
  }

  /**
   * Finds out at the start whether the model can be pushed at the end.
   *
   * @throws UsageError for what the hub refuses; RunError when it does not answer
   */
  static async open(options: TrainOptions, progress: Progress): Promise<TrainingPush | null> {
    if (!options.pushToHub) return null;
    const { hubModelId, hubPrivateRepo, hubRevision, outputDir } = options;
    const hub = await openHubPush({
      repo: hubModelId ?? basename(resolve(outputDir)),
      quiet: true, // the training has a line of its own
      progress: (line) => progress.line(line),
      ...withoutUndefined({ private: hubPrivateRepo, revision: hubRevision }),
    });
    return new TrainingPush(hub, options, progress);
  }

  onSave({ state, folder }: TrainerEvent & { folder: string }): void {
    if (this.#options.hubStrategy === 'end') return;
    this.#next = { folder, step: state.global_step };
    this.#running ??= this.#pushCheckpoints();
  }

  /**
   * Pushes the trained model, after the checkpoints.
   *
   * @throws RunError with the command that pushes it later
   */
  async finish(): Promise<void> {
    const { outputDir, hubRevision } = this.#options;
    try {
      await this.#running;
      this.#progress.line(await this.#hub.push(outputDir, { message: 'End of training' }));
    } catch (error) {
      const branch = hubRevision === undefined ? '' : ` --revision ${shellWord(hubRevision)}`;
      const again = commandLine('push', `--model ${shellWord(outputDir)} --repo ${this.#hub.id}${branch}`);
      throw new RunError(
        `The trained model is in ${outputDir}, but it was not pushed: ${messageOf(error)}. To push it: ${again}`,
        { cause: error },
      );
    }
  }

  async #pushCheckpoints(): Promise<void> {
    for (let one = this.#next; one !== undefined; one = this.#next) {
      this.#next = undefined;
      const message = `Training in progress, step ${one.step}`;
      try {
        await this.#hub.push(one.folder, { message });
        // Behind it: by then the storage has the weights, which are in both.
        if (this.#options.hubStrategy === 'checkpoint')
          await this.#hub.push(one.folder, { message: `${message}, checkpoint`, asCheckpoint: true });
      } catch (error) {
        this.#progress.line(
          `note: ${one.folder} was not pushed, and the training goes on: ${messageOf(error)}`,
        );
      }
    }
    this.#running = undefined;
  }
}
