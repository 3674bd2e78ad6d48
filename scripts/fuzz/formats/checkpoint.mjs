// A checkpoint-N folder, resumed into a session.
import { checkpointFiles, resumed, withSums } from '../checkpoint-folder.mjs';
import { defineFormat } from '../format.mjs';
import { mutateBytes } from '../mutate-bytes.mjs';
import { mutateJson } from '../mutate-json.mjs';
import { mutateSafetensors, soundTensors } from '../safetensors-file.mjs';

export const checkpoint = defineFormat({
  name: 'checkpoint',
  seeds: async () => [await checkpointFiles()],
  mutate(files, random) {
    const name = random.pick(
      Object.keys(files).filter((file) => !file.startsWith('tokenizer') && file !== 'vocab.txt'),
    );
    const bytes = files[name] ?? new Uint8Array();
    if (random.chance(0.02)) {
      const { [name]: _, ...others } = files;
      return withSums(others);
    }
    if (!/\.(json|safetensors)$/.test(name)) return { ...files, [name]: mutateBytes(bytes, random) };
    const changed = name.endsWith('.json') ? mutateJson(bytes, random) : mutateSafetensors(bytes, random);
    const spoiled = { ...files, [name]: changed };
    return random.chance(0.9) ? withSums(spoiled) : spoiled;
  },
  read: resumed,
  check({ state, resume, weights }, files) {
    for (const name of ['model.safetensors', 'optimizer.safetensors']) {
      const tensors = soundTensors(files[name] ?? new Uint8Array(8));
      if (typeof tensors === 'string') return `resumed although in ${name} ${tensors}`;
      for (const [tensor, values] of name === 'model.safetensors' ? weights : []) {
        const found = tensors.get(tensor);
        if (found === undefined) return `claims to have loaded ${tensor}, which is not in the file`;
        if (
          found.dtype === 'F32' &&
          !Buffer.from(found.bytes).equals(Buffer.from(values.buffer, values.byteOffset, values.byteLength))
        )
          return `${tensor} differs from the file`;
      }
    }
    if (!(Number.isSafeInteger(resume.step) && resume.step >= 0)) return `resumes at step ${resume.step}`;
    if (state.global_step !== resume.step)
      return `the states are of step ${state.global_step} and ${resume.step}`;
    return null;
  },
});
