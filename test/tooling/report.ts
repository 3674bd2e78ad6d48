// The report in a real browser: nothing is loaded, nothing of the data runs, it fits a phone and paper, and it follows a run that
// is under way. Skipped where there is no chromium.
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import { get, type IncomingMessage } from 'node:http';
import { join } from 'node:path';
import { setTimeout as wait } from 'node:timers/promises';
import { pathToFileURL } from 'node:url';
import t from 'tap';

import { bertune, flags, startBertune } from '../fixtures/cli.js';
import { noBrowser, startBrowser, watchedPage } from '../fixtures/browser.js';
import { succeeded, toyTraining, workspace } from '../fixtures/workspace.js';

const folder = t.testdir();
const { here } = workspace(folder);
const MARK = `<script>document.title='ran'</script><img src=x onerror="document.title='ran'"><svg onload="document.title='ran'">`;
const cell = (text: string): string => `"${text.replaceAll('"', '""')}"`;
const labels = [`one ${MARK}`, 'two', 'three'];
writeFileSync(
  join(folder, 'rows.csv'),
  `text,label\n${Array.from({ length: 90 }, (_, i) => [`good ${MARK} film ${'bad '.repeat(i % 40)}${i % 7}`, labels[i % 3] ?? ''].map(cell).join(',')).join('\n')}\n`,
);
const training = {
  ...toyTraining,
  'num-train-epochs': '3',
  'train-file': 'rows.csv',
  'validation-file': 'rows.csv',
  'eval-strategy': 'epoch',
  'logging-steps': '2',
  'output-dir': 'out',
};

await t.test('a page with hostile texts and labels', { skip: noBrowser }, async (t) => {
  succeeded(t, 'train', await bertune(['train', ...flags(training)], here));
  const url = pathToFileURL(join(folder, 'out/report.html')).href;
  const browser = await startBrowser();
  t.teardown(() => browser.close());
  for (const [what, options] of Object.entries({
    desk: { viewport: { width: 1280, height: 900 } },
    dark: { viewport: { width: 1280, height: 900 }, colorScheme: 'dark' as const },
    phone: { viewport: { width: 390, height: 844 }, isMobile: true, deviceScaleFactor: 2 },
  })) {
    const { page, problems, requests, close } = await watchedPage(browser, url, options);
    await page.evaluate(`document.querySelectorAll('details').forEach((one) => { one.open = true; })`);
    await wait(200);
    t.same(problems, [], `${what}: nothing in the console`);
    t.same(requests, [], `${what}: nothing is loaded`);
    t.equal(await page.title(), 'out \u00B7 bertune', `${what}: nothing of the data ran`);
    t.equal(await page.evaluate('document.scripts.length + document.images.length'), 0);
    t.ok((await page.evaluate<number>(`document.querySelectorAll('svg').length`)) >= 8, `${what}: charts`);
    const width = await page.evaluate<number>('document.documentElement.scrollWidth');
    t.ok(width <= options.viewport.width, `${what}: ${width} pixels wide`);
    const smallest = await page.evaluate<number>(
      `Math.min(...Array.from(document.querySelectorAll('figure:not(.wide) svg text'), (one) => one.getBoundingClientRect().height))`,
    );
    t.ok(smallest >= 9, `${what}: text of charts is ${smallest} pixels high`);
    // Ink of charts against what is behind it: it follows the mode.
    const [ink, paper] = await page.evaluate<[string, string]>(
      `[getComputedStyle(document.querySelector('svg text')).fill, getComputedStyle(document.body).backgroundColor]`,
    );
    t.ok(contrast(ink, paper) >= 4.5, `${what}: ${ink} on ${paper}`);
    await close();
  }
});

await t.test('on paper, and read without eyes', { skip: noBrowser }, async (t) => {
  const url = pathToFileURL(join(folder, 'out/report.html')).href;
  const browser = await startBrowser();
  t.teardown(() => browser.close());
  const { page, problems, close } = await watchedPage(browser, url, { colorScheme: 'dark' });
  await page.emulateMedia({ media: 'print', colorScheme: 'dark' });
  t.equal(await page.evaluate('getComputedStyle(document.body).backgroundColor'), 'rgb(255, 255, 255)');
  const pdf = await page.pdf({ format: 'A4' });
  t.equal(pdf.subarray(0, 5).toString(), '%PDF-');
  const unnamed = await page.evaluate<number>(
    `Array.from(document.querySelectorAll('svg')).filter((one) => one.getAttribute('role') !== 'img' || !one.getAttribute('aria-label')).length`,
  );
  t.equal(unnamed, 0, 'each chart has a name');
  const tables = await page.evaluate<number>(
    `Array.from(document.querySelectorAll('figure')).filter((one) => one.querySelector('details table') === null).length`,
  );
  t.equal(tables, 0, 'and its values as a table');
  t.same(problems, []);
  await close();
});

await t.test(
  'live: the page follows the training, and stays after SIGINT',
  { skip: noBrowser },
  async (t) => {
    const options = {
      ...training,
      'num-train-epochs': '100000',
      'logging-steps': '10',
      'eval-strategy': 'no',
      'save-strategy': 'no',
      live: true as const,
      'output-dir': 'live',
    };
    const run = startBertune(['train', ...flags(options)], here);
    t.teardown(() => run.kill('SIGKILL'));
    const url = await found(() => /http:\/\/127\.0\.0\.1:\d+\//.exec(run.stderr())?.[0]);
    const browser = await startBrowser();
    t.teardown(() => browser.close());
    const { page, problems, close } = await watchedPage(browser, url);
    await page.locator('#training svg').nth(2).waitFor({ timeout: 60_000 });
    const lead = (): Promise<string | null> => page.locator('.lead').first().textContent();
    const before = await lead();
    let after = before;
    for (let i = 0; i < 300 && after === before; i++) {
      await wait(200);
      after = await lead();
    }
    t.match(after, / of [\d,]+ steps/);
    t.not(after, before, 'it follows');
    t.equal(await page.evaluate(`document.querySelector('.live').textContent`), 'live');
    t.same(problems, []);
    t.equal((await asked(url, { host: 'evil.example' })).statusCode, 403, 'another name is refused');
    t.equal((await asked(`${url}etc/passwd`)).statusCode, 404);
    run.kill('SIGINT');
    const { code } = await run.outcome;
    t.equal(code, 130);
    await close();
    const left = readFileSync(join(folder, 'live/report.html'), 'utf8');
    t.match(left, '>Learning rate</h3>');
    t.notMatch(left, '<script');
  },
);

await t.test('a process that is killed leaves the page', { skip: noBrowser }, async (t) => {
  const options = {
    ...training,
    'num-train-epochs': '100000',
    'save-strategy': 'no',
    'eval-strategy': 'no',
    live: true as const,
    'output-dir': 'killed',
  };
  const run = startBertune(['train', ...flags(options)], here);
  const path = join(folder, 'killed/report.html');
  await found(() => (existsSync(path) && readFileSync(path, 'utf8').includes('<svg') ? 'there' : undefined));
  run.kill('SIGKILL');
  await run.outcome;
  t.match(readFileSync(path, 'utf8'), '>Loss</h3>');
});

await t.test('a port that is taken', async (t) => {
  const server = (await import('node:http')).createServer().listen(0, '127.0.0.1');
  await new Promise((resolve) => server.once('listening', resolve));
  t.teardown(() => server.close());
  const address = server.address();
  const port = typeof address === 'object' && address !== null ? String(address.port) : '';
  const { code, stderr } = await bertune(
    ['train', ...flags({ ...training, live: true, 'live-port': port })],
    here,
  );
  t.equal(code, 2);
  t.match(stderr, `--live-port ${port} cannot be used: it is in use`);
});

async function found(look: () => string | undefined): Promise<string> {
  for (let i = 0; i < 600; i++) {
    const value = look();
    if (value !== undefined) return value;
    await wait(100);
  }
  throw new Error('it did not come');
}

function asked(url: string, headers: Record<string, string> = {}): Promise<IncomingMessage> {
  return new Promise((resolve, reject) => {
    get(url, { headers }, (response) => resolve(response.resume())).on('error', reject);
  });
}

/** WCAG's contrast of two colours as a browser computes them. */
function contrast(a: string, b: string): number {
  const luminance = (colour: string): number => {
    const parts = Array.from(colour.matchAll(/[\d.]+/g), ([one]) => Number(one) / 255);
    const [r = 0, g = 0, blue = 0] = parts.map((one) =>
      one <= 0.04045 ? one / 12.92 : ((one + 0.055) / 1.055) ** 2.4,
    );
    return 0.2126 * r + 0.7152 * g + 0.0722 * blue;
  };
  const [low = 0, high = 1] = [luminance(a), luminance(b)].toSorted((x, y) => x - y);
  return (high + 0.05) / (low + 0.05);
}
