// One training that is killed 500 times: at its start, between steps, in the middle of saving. It must end with the bits of
// one that was left alone, and no kill may leave a folder that does not load. SOAK_SEED and SOAK_KILLS change the course.
import { existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import t from 'tap';

import { BertForSequenceClassification } from '../../dist/index.js';
import { randomNumbers } from '../../dist/util/random.js';
import { verifyChecksums } from '../../dist/training/checkpoint.js';
import { flags, startBertune } from '../fixtures/cli.js';
import { outcomeOf, statefulTraining } from '../fixtures/stateful-training.js';
import { makeToy } from '../fixtures/toy.js';

const KILLS = Number(process.env['SOAK_KILLS'] ?? 500);
const SEED = Number(process.env['SOAK_SEED'] ?? 1);
/** A life gets a few of them further; there must be more than lives use up. */
const STEPS_A_KILL = 12;

const random = randomNumbers(SEED);
const options = {
  ...statefulTraining,
  'num-train-epochs': undefined,
  'max-steps': String(STEPS_A_KILL * KILLS),
  'early-stopping-patience': '100000',
};

type Life = ReturnType<typeof startBertune>;
const aims = ['start', 'steps', 'save'] as const;
type Aim = (typeof aims)[number];

/** Waits for the moment in which a life is to end; also returns when it has ended by itself. */
async function waitForEnd(aim: Aim, out: string, life: Life, hasEnded: () => boolean): Promise<void> {
  const until = async (condition: () => boolean): Promise<void> => {
    while (!condition() && !hasEnded()) await sleep(1);
  };
  if (aim === 'start') {
    await sleep(random() * 1500);
    return;
  }
  await until(() => /Resuming from|starting at the beginning/.test(life.stderr()));
  if (aim === 'steps') {
    await sleep(random() * 300);
    return;
  }
  // The writing of a checkpoint, its renaming, and the removal of old ones, which take some milliseconds each.
  await until(() => readdirSync(out).some((name) => /^checkpoint-\d+\.tmp-/.test(name)));
  await sleep(random() * 40);
}

/** @returns how many checkpoints there are; all of them, and the model in the output folder if it is there, load */
async function requireLoadable(out: string): Promise<number> {
  const names = existsSync(out) ? readdirSync(out) : [];
  const checkpoints = names.filter((name) => /^checkpoint-\d+$/.test(name));
  for (const name of checkpoints) await verifyChecksums(join(out, name), 'resume');
  const models = names.includes('config.json') ? ['.', ...checkpoints] : checkpoints;
  for (const name of models) {
    const model = await BertForSequenceClassification.fromPretrained(join(out, name));
    await model.open({ threads: 1 });
    await model.close();
  }
  return checkpoints.length;
}

await t.test(`killed ${KILLS} times (seed ${SEED})`, { timeout: 0 }, async (t) => {
  const folder = t.testdir();
  const out = join(folder, 'cut');
  makeToy(folder, { train: 41, test: 20 });
  const whole = await startBertune(['train', ...flags({ ...options, 'output-dir': 'whole' })], {
    cwd: folder,
  }).outcome;
  t.equal(whole.code, 0, whole.code === 0 ? 'left alone' : whole.stderr.slice(-2000));

  const kills = { start: 0, steps: 0, save: 0 };
  const count = (): number => kills.start + kills.steps + kills.save;
  let checkpoints = 0;
  let halfWritten = 0;
  const begin = (): Life =>
    startBertune(['train', ...flags({ ...options, 'output-dir': 'cut', 'resume-from-checkpoint': 'auto' })], {
      cwd: folder,
    });
  while (count() < KILLS) {
    const aim = aims[Math.floor(random() * aims.length)] ?? 'steps';
    const life = begin();
    let isOver = false;
    const outcome = life.outcome.finally(() => (isOver = true));
    await waitForEnd(aim, out, life, () => isOver);
    life.kill('SIGKILL');
    const ended = await outcome;
    if (ended.signal !== 'SIGKILL') {
      t.fail(`ended by itself after ${count()} kills: ${ended.stderr.slice(-1000)}`);
      break;
    }
    kills[aim] += 1;
    if (existsSync(out)) halfWritten += readdirSync(out).some((name) => name.includes('.tmp-')) ? 1 : 0;
    await t.resolves(
      requireLoadable(out).then((found) => (checkpoints += found)),
      `after kill ${count()} (${aim}) everything loads`,
    );
    if (count() % 25 === 0) process.stderr.write(`  ${count()} kills: ${JSON.stringify(kills)}\n`);
  }
  const last = await begin().outcome;
  t.equal(last.code, 0, last.code === 0 ? 'the last life ends' : last.stderr.slice(-2000));
  t.match(last.stderr, 'Resuming from', 'which had something to resume from');
  t.same(outcomeOf(out), outcomeOf(join(folder, 'whole')), 'the same bits');
  t.notOk(
    readdirSync(out).some((name) => name.includes('.tmp-')),
    'nothing is left behind',
  );
  process.stderr.write(
    `  seed ${SEED}: ${count()} kills (${JSON.stringify(kills)}), ${halfWritten} of them in the middle of writing; ` +
      `${checkpoints} checkpoints found whole; ${options['max-steps']} steps\n`,
  );
});
