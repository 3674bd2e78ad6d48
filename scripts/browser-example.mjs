// Serves an exported model with examples/browser/index.html, and its library from node_modules in place of the network.
// As a program it makes the picture of the README, docs/images/browser.png:
//   node scripts/browser-example.mjs out-onnx "What a charming film!"
import { createReadStream } from 'node:fs';
import { stat } from 'node:fs/promises';
import { createServer } from 'node:http';
import { extname, join, normalize } from 'node:path';
import { argv } from 'node:process';
import { fileURLToPath, pathToFileURL } from 'node:url';

const root = fileURLToPath(new URL('..', import.meta.url));
const LIBRARY = join(root, 'node_modules/@huggingface/transformers/dist');
const RUNTIME = join(root, 'node_modules/onnxruntime-web/dist');
/** @type {Readonly<Record<string, string>>} */
const TYPES = {
  '.html': 'text/html',
  '.js': 'text/javascript',
  '.mjs': 'text/javascript',
  '.wasm': 'application/wasm',
};

/**
 * Serves a folder at / and at /model/, with the page of the example in it.
 *
 * @param {string} folder
 * @returns {Promise<{ url: string; close: () => void }>}
 */
export async function serveExample(folder) {
  const server = createServer((request, response) => {
    const path = normalize(decodeURIComponent(new URL(request.url ?? '/', 'http://localhost').pathname));
    const name = path.replace(/^\/model\//, '/');
    const file = name === '/' ? join(root, 'examples/browser/index.html') : join(folder, name);
    /** @param {import('node:fs').Stats} found */
    const send = (found) => {
      const type = TYPES[extname(file)] ?? 'application/octet-stream';
      response.writeHead(200, { 'Content-Type': type, 'Content-Length': found.size });
      createReadStream(file).pipe(response);
    };
    const missing = () => response.writeHead(404).end();
    stat(file).then((found) => (found.isFile() ? send(found) : missing()), missing);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', () => resolve(undefined)));
  const address = server.address();
  if (address === null || typeof address === 'string') throw new Error('no port');
  return { url: `http://127.0.0.1:${address.port}/`, close: () => server.close() };
}

/**
 * Gives a page what it would fetch from the network: transformers.js and onnxruntime's WebAssembly.
 *
 * @param {import('playwright-core').BrowserContext} context
 */
export async function withoutNetwork(context) {
  await context.route(/^https:/, (route) => {
    const { pathname } = new URL(route.request().url());
    const name = pathname.split('/').at(-1) ?? '';
    if (/\/@huggingface\/transformers@[\d.]+$/.test(pathname))
      return route.fulfill({ path: join(LIBRARY, 'transformers.min.js'), contentType: 'text/javascript' });
    if (pathname.includes('/onnxruntime-web@'))
      return route.fulfill({ path: join(RUNTIME, name), contentType: TYPES[extname(name)] ?? '' });
    return route.abort();
  });
}

if (import.meta.url === pathToFileURL(argv[1] ?? '').href) {
  const [folder = '', text = ''] = argv.slice(2);
  const { chromium } = await import('playwright-core');
  const browser = await chromium.launch({
    executablePath: process.env['BERTUNE_TEST_BROWSER'] ?? '/usr/bin/chromium',
    args: process.getuid?.() === 0 ? ['--no-sandbox'] : [],
  });
  const server = await serveExample(folder);
  try {
    const context = await browser.newContext({ viewport: { width: 640, height: 330 } });
    await withoutNetwork(context);
    const page = await context.newPage();
    await page.goto(server.url);
    await page.getByText('Nothing leaves this page.').waitFor();
    await page.locator('#text').fill(text);
    await page.locator('meter').first().waitFor();
    await page.screenshot({ path: join(root, 'docs/images/browser.png') });
  } finally {
    await browser.close();
    server.close();
  }
}
