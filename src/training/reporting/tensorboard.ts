// Logs as TensorBoard event files: HF's TensorBoardCallback, in `runs/` of the output folder.
import { appendFile } from 'node:fs/promises';
import { hostname } from 'node:os';
import { join } from 'node:path';

import { writeError } from '../../util/file-errors.js';
import { makeFolder } from '../../util/make-folder.js';
import { exists } from '../../util/exists.js';
import type { TrainerCallback, TrainerEvent } from '../callbacks.js';
import type { LogEntry } from '../state.js';
import { restartRecord, scalarsRecord, versionRecord } from './tensorboard-events.js';

/** One event file a run; a resumed run adds one that replaces what the first said of later steps. */
export class TensorBoardCallback implements TrainerCallback {
  readonly #folder: string;
  #path = '';

  constructor(outputDir: string) {
    this.#folder = join(outputDir, 'runs');
  }

  async onTrainBegin({ state }: TrainerEvent): Promise<void> {
    const seconds = now();
    const name = `events.out.tfevents.${Math.floor(seconds)}.${hostname()}.${process.pid}.${performance.now()}`;
    this.#path = join(this.#folder, name);
    const { global_step: step } = state;
    // A run that begins anew replaces all that an earlier one drew in this folder.
    await this.#append(restartRecord(seconds, step === 0 ? 0 : step + 1));
  }

  async onLog({ logs }: { logs: LogEntry }): Promise<void> {
    const { step = 0, ...values } = logs;
    const named = Object.entries(values).map(([name, value]) => [shownName(name), value] as const);
    await this.#append(scalarsRecord(now(), step, Object.fromEntries(named)));
  }

  async #append(record: Uint8Array): Promise<void> {
    if (this.#path === '') return; // an evaluation before any training has no file
    const isNew = !(await exists(this.#path)); // or has been deleted since
    if (isNew) await makeFolder(this.#folder);
    await appendFile(this.#path, isNew ? Buffer.concat([versionRecord(now()), record]) : record).catch(
      (error: unknown) => {
        throw writeError(error, this.#path);
      },
    );
  }
}

/** `eval_loss` is shown as eval/loss, everything else under train/: HF's rewrite_logs. */
function shownName(name: string): string {
  return name.startsWith('eval_') ? `eval/${name.slice('eval_'.length)}` : `train/${name}`;
}

function now(): number {
  return Date.now() / 1000;
}
