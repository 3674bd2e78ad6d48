// trainer_state.json and bertune_state.json, in a checkpoint that is otherwise whole.
import { checkpointFiles, resumed, withSums } from '../checkpoint-folder.mjs';
import { defineFormat } from '../format.mjs';
import { mutateJson } from '../mutate-json.mjs';

const NUMBERS = ['lossLogged', 'stepLogged', 'trainSeconds', 'idleSeconds', 'totalLoss'];

export const trainerState = defineFormat({
  name: 'trainer-state',
  seeds: async () => [await checkpointFiles()],
  mutate(files, random) {
    const name = random.pick(['trainer_state.json', 'bertune_state.json']);
    return withSums({ ...files, [name]: mutateJson(files[name] ?? new Uint8Array(), random) });
  },
  read: resumed,
  check({ state, resume }) {
    /** @type {Record<string, unknown>} */
    const numbers = { ...resume };
    const odd = NUMBERS.find((name) => !Number.isFinite(numbers[name]));
    if (odd !== undefined) return `resumes with ${odd} ${String(numbers[odd])}`;
    if (!(Number.isSafeInteger(resume.step) && resume.step >= 0)) return `resumes at step ${resume.step}`;
    if (state.global_step !== resume.step)
      return `the states are of step ${state.global_step} and ${resume.step}`;
    if (!Array.isArray(state.log_history)) return 'resumes without a list of logs';
    if (
      !state.log_history.every(
        (entry) =>
          // As JSON writes it, a metric that was not defined is null.
          typeof entry === 'object' &&
          Object.values(entry).every((value) => value === null || typeof value === 'number'),
      )
    )
      return 'resumes with logs that are no numbers';
    if (state.best_model_checkpoint !== null && typeof state.best_model_checkpoint !== 'string')
      return 'resumes with a best checkpoint that is no path';
    return null;
  },
});
