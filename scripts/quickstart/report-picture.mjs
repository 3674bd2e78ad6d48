// Makes docs/images/report.png, the top of a report of the quickstart, as a browser shows it:
//   npm run build && node scripts/quickstart/report-picture.mjs [FOLDER OF A RUN]
// Without a folder it trains one first. The mails, which are not ours to show, are further down the page.
import { spawnSync } from 'node:child_process';
import { fileURLToPath, pathToFileURL } from 'node:url';
import { join, resolve } from 'node:path';
import { chromium } from 'playwright-core';

const ROOT = fileURLToPath(new URL('../..', import.meta.url));
const SIZE = { width: 1000, height: 770 };

/** @returns {string} the folder of a run that logged and evaluated often enough for its curves */
function train() {
  const folder = join(ROOT, 'out/spam');
  const often =
    '--logging-steps 10 --eval-strategy steps --eval-steps 70 --save-strategy steps --save-steps 70';
  const best = '--load-best-model-at-end --metric-for-best-model f1_macro';
  const options = `configs/quickstart.json ${often} ${best} --output-dir out/spam`.split(' ');
  const { status } = spawnSync('npm', ['run', 'train', '--', ...options], { cwd: ROOT, stdio: 'inherit' });
  if (status !== 0) throw new Error(`the training ended with code ${status}`);
  return folder;
}

const folder = process.argv[2] ?? train();
const executablePath = process.env['BERTUNE_TEST_BROWSER'] ?? '/usr/bin/chromium';
const args = process.getuid?.() === 0 ? ['--no-sandbox'] : [];
const browser = await chromium.launch({ executablePath, args });
try {
  const page = await browser.newPage({ viewport: SIZE, colorScheme: 'light' });
  await page.goto(pathToFileURL(join(resolve(folder), 'report.html')).href);
  await page.screenshot({ path: join(ROOT, 'docs/images/report.png') });
} finally {
  await browser.close();
}
