// Makes the pictures of the README, docs/images/train.svg and evaluate.svg, from what the quickstart prints on a terminal.
// Run it on a quiet machine when the output has changed: npm run build && node scripts/quickstart/pictures.mjs
import { spawn } from 'node:child_process';
import { mkdir, writeFile } from 'node:fs/promises';
import { fileURLToPath } from 'node:url';
import { stripVTControlCharacters } from 'node:util';

const COLUMNS = 100;
const ROOT = fileURLToPath(new URL('../..', import.meta.url));

/**
 * What a terminal shows after this output: a line that was written over shows its last content, and colours are left out.
 *
 * @param {string} output with carriage returns and escape sequences
 * @returns {string[]}
 */
export function screenLines(output) {
  return output
    .replaceAll('\r\n', '\n')
    .replaceAll('\u001B[1G', '\r')
    .split('\n')
    .map((line) => {
      let shown = '';
      for (const part of line.split('\r')) {
        const text = stripVTControlCharacters(part);
        const isErased = /^\u001B\[[02]?K/.test(part); // oxlint-disable-line no-control-regex
        shown = isErased ? text : text + shown.slice(text.length);
      }
      return shown.trimEnd();
    });
}

const [CHARACTER, LINE, MARGIN, BAR] = [8, 18, 16, 32];

/**
 * @param {readonly string[]} lines
 * @param {string} title for those who cannot see it
 * @returns {string} a window of a terminal as SVG
 */
export function terminalSvg(lines, title) {
  const width = COLUMNS * CHARACTER + 2 * MARGIN;
  const height = BAR + lines.length * LINE + MARGIN;
  const texts = lines.map((line, i) => {
    const y = BAR + (i + 1) * LINE - 4;
    // The width is given, so that columns stand under one another in any font.
    const size = `textLength="${line.length * CHARACTER}" lengthAdjust="spacingAndGlyphs"`;
    const style = line.startsWith('$ ') ? ' fill="#7ee787"' : '';
    return line === '' ? '' : `<text x="${MARGIN}" y="${y}" ${size}${style}>${escaped(line)}</text>\n`;
  });
  const dots = ['#ff5f56', '#ffbd2e', '#27c93f'].map(
    (colour, i) => `<circle cx="${MARGIN + 6 + i * 20}" cy="16" r="6" fill="${colour}"/>`,
  );
  return `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${width} ${height}" width="${width}" height="${height}" role="img">
<title>${escaped(title)}</title>
<rect width="${width}" height="${height}" rx="8" fill="#161b22"/>
${dots.join('')}
<g fill="#e6edf3" font-family="ui-monospace, Menlo, Consolas, 'DejaVu Sans Mono', monospace" font-size="13" xml:space="preserve">
${texts.join('')}</g>
</svg>
`;
}

/** @param {string} text */
function escaped(text) {
  return text.replaceAll('&', '&amp;').replaceAll('<', '&lt;').replaceAll('>', '&gt;');
}

/**
 * @param {string} command
 * @returns {Promise<string[]>} the lines that it leaves on a terminal, without npm's own
 */
async function run(command) {
  // `script`, of util-linux, runs it with a terminal.
  const child = spawn('script', ['-qec', `stty cols ${COLUMNS}; ${command}`, '/dev/null'], {
    cwd: ROOT,
    stdio: ['ignore', 'pipe', 'inherit'],
  });
  let output = '';
  child.stdout.setEncoding('utf8').on('data', (text) => (output += text));
  const code = await new Promise((resolve, reject) => child.on('error', reject).on('close', resolve));
  if (code !== 0) throw new Error(`${command} ended with code ${code}:\n${output}`);
  const lines = screenLines(output).filter((line) => !line.startsWith('> '));
  while (lines[0] === '') lines.shift();
  while (lines.at(-1) === '') lines.pop();
  return lines.map(withoutMail);
}

/** The mails are not ours to show: of a row there is its label and a few words. @param {string} line */
function withoutMail(line) {
  return /^ {2}(?:ham|spam)\b/.test(line) ? `${line.slice(0, 40)}...` : line;
}

/**
 * @param {readonly string[]} lines
 * @param {number} first lines at the beginning
 * @param {number} last lines at the end
 * @returns {readonly string[]} as a terminal breaks them
 */
function shortened(lines, first, last) {
  const parts =
    lines.length <= first + last ? lines : [...lines.slice(0, first), '...', ...lines.slice(-last)];
  return parts.flatMap((line) => line.match(new RegExp(`.{1,${COLUMNS}}`, 'gu')) ?? ['']);
}

async function main() {
  const images = new URL('../../docs/images/', import.meta.url);
  await mkdir(images, { recursive: true });
  /** @type {(name: string, lines: readonly string[], title: string) => Promise<void>} */
  const write = (name, lines, title) => writeFile(new URL(name, images), terminalSvg(lines, title));
  const training = ['$ npm run train', ...(await run('npm run train'))];
  await write('train.svg', shortened(training, 10, 24), 'The quickstart on a terminal');
  const command = 'npm run evaluate -- --model out/quickstart --validation-file .quickstart/test.csv';
  const report = [`$ ${command}`, ...(await run(command))];
  await write('evaluate.svg', shortened(report, 30, 10), 'The report of an evaluation on a terminal');
}

if (process.argv[1] === fileURLToPath(import.meta.url)) await main();
