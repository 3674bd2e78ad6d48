// npm run test:fuzz: hostile files by the hundred thousand for every reader of files that others made. The last line on
// stdout is `N passed, N failed`, by input.
//
//   npm run test:fuzz                                    200,000 inputs for each format
//   npm run test:fuzz -- csv parquet --inputs 5000       some formats, fewer inputs
//   npm run test:fuzz -- csv --repeat FOLDER             one input that was kept, again
//   --seed N (default 1): other inputs
import { parseArgs } from 'node:util';
import { formatNamed, formats } from './fuzz/formats/index.mjs';
import { fuzzFormat, repeat } from './fuzz/runner.mjs';
import { ensureReady } from './setup/ensure.mjs';
import { runMain } from './setup/terminal.mjs';

const { values: options, positionals } = parseArgs({
  allowPositionals: true,
  options: {
    inputs: { type: 'string', default: '200000' },
    seed: { type: 'string', default: '1' },
    keep: { type: 'string', default: 'fuzz-findings' },
    jobs: { type: 'string', default: '2' },
    repeat: { type: 'string' },
  },
});

await runMain(async () => {
  await ensureReady();
  const names =
    positionals.length > 0
      ? positionals.map((name) => formatNamed(name).name)
      : formats.map(({ name }) => name);
  if (options.repeat !== undefined) {
    const fault = await repeat(names[0] ?? '', options.repeat);
    print(fault ?? 'no fault');
    return fault === null ? 0 : 1;
  }
  const total = { inputs: 0, failed: 0 };
  const waiting = [...names];
  const worker = async () => {
    for (let name = waiting.shift(); name !== undefined; name = waiting.shift()) {
      const outcome = await fuzzFormat({
        name,
        inputs: Number(options.inputs),
        seed: Number(options.seed),
        keep: options.keep,
      });
      show(outcome);
      total.inputs += outcome.inputs;
      total.failed += outcome.findings.length;
    }
  };
  await Promise.all(Array.from({ length: Number(options.jobs) }, worker));
  print(`\n${total.inputs - total.failed} passed, ${total.failed} failed`);
  return total.failed > 0 || total.inputs < names.length * Number(options.inputs) ? 1 : 0;
});

/** @param {import('./fuzz/runner.mjs').Outcome} outcome */
function show({ name, inputs, accepted, corpus, parts, seconds, findings }) {
  const share = ((100 * accepted) / inputs).toFixed(1);
  const reached = `${share} % read, ${corpus} kept for ${parts} parts of the code`;
  print(
    `${findings.length > 0 ? 'FAIL' : 'ok  '} ${name}: ${inputs} inputs, ${findings.length} with a fault; ${reached} (${seconds.toFixed(0)} s)`,
  );
  for (const { fault, folder } of findings)
    print(
      `  ${fault.trim().replaceAll('\n', '\n    ')}\n    again: npm run test:fuzz -- ${name} --repeat ${folder}`,
    );
}

/** @param {string} line */
function print(line) {
  process.stdout.write(`${line}\n`);
}
