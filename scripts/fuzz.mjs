// npm run test:fuzz: hundreds of thousands of hostile files for each reader of untrusted files, a malicious hub, and random
// calls of the addon. The last line on stdout is `N passed, N failed`, by input.
//
//   npm run test:fuzz                                    200,000 inputs for each format, 20,000 downloads, 100,000 calls
//   npm run test:fuzz -- csv parquet --inputs 5000       some of it, and fewer inputs
//   npm run test:fuzz -- csv --repeat FOLDER             one saved input, again
//   --seed N (default 1): other inputs
import { parseArgs } from 'node:util';
import { formats } from './fuzz/formats/index.mjs';
import { programs, runProgram } from './fuzz/programs.mjs';
import { fuzzFormat, repeat } from './fuzz/runner.mjs';
import { ensureReady } from './setup/ensure.mjs';
import { runMain } from './setup/terminal.mjs';

/** Of a format. */
const INPUTS = 200_000;

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    inputs: { type: 'string' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'string', default: 'fuzz-findings' },
    jobs: { type: 'string', default: '2' },
    repeat: { type: 'string' },
  },
});

// A run that is cut off, as by `head`, ends at once and leaves no folders in memory.
for (const signal of ['SIGINT', 'SIGTERM']) process.on(signal, () => process.exit(1));
process.stdout.on('error', () => process.exit(1));

await runMain(async () => {
  await ensureReady();
  const all = [...formats, ...programs].map(({ name }) => name);
  const unknown = positionals.find((name) => !all.includes(name));
  if (unknown !== undefined)
    throw new Error(`Expected ${all.join(', ')} but received ${JSON.stringify(unknown)}`);
  const names = positionals.length > 0 ? positionals : all;
  if (options.repeat !== undefined) {
    const fault = await repeat(names[0] ?? '', options.repeat);
    print(fault ?? 'no fault');
    return fault === null ? 0 : 1;
  }
  const total = { inputs: 0, failed: 0 };
  let isWhole = true;
  const waiting = [...names];
  const worker = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const { wanted, inputs, failed } = await fuzz(name);
      total.inputs += inputs;
      total.failed += failed;
      isWhole &&= inputs >= wanted;
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, worker));
  print(`\n${total.inputs - total.failed} passed, ${total.failed} failed`);
  return total.failed > 0 || !isWhole ? 1 : 0;
});

/** @param {string} name @returns {Promise<{ wanted: number, inputs: number, failed: number }>} */
async function fuzz(name) {
  const seed = Number(options.seed);
  const program = programs.find((candidate) => candidate.name === name);
  const wanted = Number(options.inputs ?? program?.inputs ?? INPUTS);
  if (program === undefined) {
    const outcome = await fuzzFormat({ name, inputs: wanted, seed, keep: options.keep });
    show(outcome);
    return { wanted, inputs: outcome.inputs, failed: outcome.findings.length };
  }
  const { inputs, failed } = await runProgram(program, wanted, seed);
  print(`${failed > 0 ? 'FAIL' : 'ok  '} ${name}: ${inputs} ${program.what}, ${failed} with a fault`);
  return { wanted, inputs, failed };
}

/** @param {import('./fuzz/runner.mjs').Outcome} outcome */
function show({ name, inputs, accepted, corpus, parts, seconds, findings }) {
  const share = ((100 * accepted) / inputs).toFixed(1);
  const reached = `${share} % read, corpus of ${corpus} for ${parts} parts of the code`;
  print(
    `${findings.length > 0 ? 'FAIL' : 'ok  '} ${name}: ${inputs} inputs, ${findings.length} with a fault; ${reached} (${seconds.toFixed(0)} s)`,
  );
  for (const { fault, folder } of findings)
    print(
      `  ${fault.trim().replaceAll('\n', '\n    ')}\n    repeat: npm run test:fuzz -- ${name} --repeat ${folder}`,
    );
}

/** @param {string} line */
function print(line) {
  process.stdout.write(`${line}\n`);
}
