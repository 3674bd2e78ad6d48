// A hub that lies at random: `node test/fuzz/hub.mjs [COUNT] [SEED]`, after `npm run build`. Prints what it tried and ends
// with exit code 1 when anything that must hold did not. Seeds repeat: a failure names its own.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { quickWaits } from '../fixtures/quick-waits.mjs';
import { LiarServer } from './hub/server.mjs';
import { runTrial } from './hub/trial.mjs';

const AT_ONCE = 40;

/**
 * @param {number} count
 * @param {number} firstSeed
 * @returns {Promise<{ finished: number, refused: number, faults: string[], megabytes: number }>}
 *   `megabytes`: by how much the process grew at most
 */
export async function fuzzHub(count, firstSeed) {
  quickWaits();
  /** @type {string[]} */
  const faults = [];
  const unhandled = (/** @type {unknown} */ error) =>
    void faults.push(`nobody caught ${error instanceof Error ? error.stack : String(error)}`);
  process.on('unhandledRejection', unhandled).on('warning', unhandled);
  const servers = { liar: await new LiarServer().start(), honest: await new LiarServer().start() };
  const root = mkdtempSync(join(tmpdir(), 'bertune-hub-'));
  const counts = { finished: 0, refused: 0 };
  const before = process.memoryUsage().rss;
  let most = before;
  const seeds = Array.from({ length: count }, (_, i) => firstSeed + i).values();
  const lane = async () => {
    for (const seed of seeds) {
      const folder = mkdtempSync(join(root, 'trial-'));
      const result = await runTrial(servers, seed, folder);
      counts[result.outcome]++;
      faults.push(...result.faults.map((fault) => `seed ${seed} (${result.told}): ${fault}`));
      most = Math.max(most, process.memoryUsage().rss);
      rmSync(folder, { recursive: true, force: true });
    }
  };
  try {
    await Promise.all(Array.from({ length: AT_ONCE }, lane));
  } finally {
    rmSync(root, { recursive: true, force: true });
    await Promise.all([servers.liar.stop(), servers.honest.stop()]);
    process.off('unhandledRejection', unhandled).off('warning', unhandled);
  }
  return { ...counts, faults, megabytes: Math.round((most - before) / 2 ** 20) };
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const [count = 5000, seed = 1] = process.argv.slice(2).map(Number);
  const start = performance.now();
  const { finished, refused, faults, megabytes } = await fuzzHub(count, seed);
  for (const fault of faults) process.stderr.write(`${fault}\n`);
  const seconds = ((performance.now() - start) / 1000).toFixed(0);
  process.stdout.write(
    `hub: ${count} downloads from seed ${seed} in ${seconds} s: ${finished} finished, ${refused} refused in one line, ` +
      `${faults.length} faults; the process grew by ${megabytes} MB at most\n`,
  );
  process.send?.({ inputs: count, failed: Math.min(faults.length, count) });
  process.exitCode = faults.length > 0 ? 1 : 0;
}
