// What a run has to remember for its report and HF's log history does not have: the steps from which it was resumed. It is kept
// as transformers keeps the state of a callback, in trainer_state.json.
import { z } from 'zod';

import type { TrainerCallback, TrainerEvent } from '../training/callbacks.js';
import { UsageError } from '../util/errors.js';

/** The name under which it is kept. */
export const RESUMED = 'ReportCallback';

const resumedState = z.object({ attributes: z.object({ resumed_steps: z.array(z.int().nonnegative()) }) });

/** Steps of a state as it is kept; none of what is not one. */
export function resumedSteps(kept: unknown): number[] {
  const found = resumedState.safeParse(kept);
  return found.success ? found.data.attributes.resumed_steps : [];
}

/** Remembers from which steps a run was resumed, and tells of every entry of the log history. */
export class ReportCallback implements TrainerCallback {
  readonly name = RESUMED;
  readonly #onChange: (event: TrainerEvent) => void;
  #steps: number[] = [];

  constructor(onChange: (event: TrainerEvent) => void = () => undefined) {
    this.#onChange = onChange;
  }

  onTrainBegin(event: TrainerEvent): void {
    if (event.state.global_step > 0) this.#steps.push(event.state.global_step);
    this.#onChange(event);
  }

  onLog(event: TrainerEvent): void {
    this.#onChange(event);
  }

  saveState(): z.infer<typeof resumedState> & { args: object } {
    return { args: {}, attributes: { resumed_steps: [...this.#steps] } };
  }

  /** @throws UsageError for a state that is not one of these */
  restoreState(state: unknown): void {
    const { data } = resumedState.safeParse(state);
    if (data === undefined) throw new UsageError('resumed_steps is no list of steps');
    this.#steps = data.attributes.resumed_steps;
  }
}
