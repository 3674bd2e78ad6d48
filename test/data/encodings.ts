// Encodings other than UTF-8. Expected: the texts that Python's codecs encoded (scripts/reference/data_fixtures.py).
import { readFileSync } from 'node:fs';
import path from 'node:path';
import { gzipSync } from 'node:zlib';
import t from 'tap';
import { loadDataset } from '../../dist/index.js';
import { asFlags } from '../../dist/options/index.js';
import { FIXTURES, folderOf, messageOf, openContent, refusal, textsOf } from '../fixtures/splits.js';

const ENCODED: Record<string, { text: string; bytes: string }[]> = JSON.parse(
  readFileSync(path.join(FIXTURES, 'encodings.json'), 'utf8'),
);
const UNICODE = /^utf/;

/** Each text with a row between that is ASCII; in UTF-16 and UTF-32 written by `Buffer`, with the mark of Python's. */
function jsonLines(encoding: string): Buffer {
  const texts = ENCODED[encoding] ?? [];
  const rows = texts.flatMap(({ bytes }, i) => [
    Buffer.concat([Buffer.from('{"label":"a","text":"'), Buffer.from(bytes, 'base64'), Buffer.from('"}\n')]),
    Buffer.from(`{"label":"b","text":"row ${i}"}\n`),
  ]);
  return Buffer.concat(rows);
}

function expectedOf(encoding: string): string[] {
  return (ENCODED[encoding] ?? []).flatMap(({ text }, i) => [text, `row ${i}`]);
}

void t.test('with the encoding named, every text is as Python decodes it', async (test) => {
  for (const encoding of Object.keys(ENCODED).filter((name) => !UNICODE.test(name))) {
    const content = jsonLines(encoding);
    const split = await openContent(test, `${encoding}.jsonl`, content, { encoding });
    test.same(await textsOf(split), expectedOf(encoding), encoding);
    test.match(await split.read([4, 2]), [
      { text: expectedOf(encoding)[4] },
      { text: expectedOf(encoding)[2] },
    ]);
    test.match(split.place(4), /line 5$/);
    test.same(split.notes, []);
    const zipped = await openContent(test, `${encoding}.jsonl.gz`, gzipSync(content), { encoding });
    test.same(await textsOf(zipped), expectedOf(encoding), `${encoding}, compressed`);
  }
});

void t.test('one that is presumed gives way to UTF-8 alone', async (test) => {
  for (const encoding of Object.keys(ENCODED).filter((name) => !UNICODE.test(name))) {
    const presumed = { encoding, presumed: ['encoding' as const] };
    const own = await openContent(test, `${encoding}.jsonl`, jsonLines(encoding), presumed);
    test.same(await textsOf(own), expectedOf(encoding), encoding);
    const rows = expectedOf(encoding).map((text, i) => JSON.stringify({ label: i % 2 ? 'b' : 'a', text }));
    const utf8 = Buffer.from(`${rows.join('\n')}\n`);
    for (const [name, content] of [
      ['utf8.jsonl', utf8],
      ['utf8.jsonl.gz', gzipSync(utf8)],
    ] as const)
      test.same(
        await textsOf(await openContent(test, name, content, presumed)),
        expectedOf(encoding),
        `${name}, trained on ${encoding}`,
      );
  }
});

void t.test('without it, the message names the encoding', async (test) => {
  for (const encoding of Object.keys(ENCODED).filter((name) => !UNICODE.test(name))) {
    const message = await refusal(test, `${encoding}.jsonl`, jsonLines(encoding));
    test.match(message, `.jsonl line 1: not valid UTF-8, but looks like ${encoding}\n`);
    test.match(message, new RegExp(`\nRead the file with encoding ${encoding}$`));
    test.notMatch(message, /skip/);
    test.match(asFlags(message), `\nRead the file with --encoding ${encoding}`);
  }
  const rows = 'text,label\nplain,a\n'.repeat(1).concat('good,a\nbad,b\n'.repeat(60_000));
  const late = Buffer.concat([Buffer.from(rows), Buffer.from('Gr\xf6\xdfe und H\xf6he,a\n', 'latin1')]);
  test.match(
    await refusal(test, 'late.csv', late),
    /line 120003: not valid UTF-8, but looks like windows-1252\n/,
  );
  const header = Buffer.from('Größe,label\nschön,a\n', 'latin1');
  test.match(
    await refusal(test, 'header.csv', header),
    /line 1: not valid UTF-8, but looks like windows-1252/,
  );
});

void t.test('a UTF-8 file with a damaged row is not of another encoding', async (test) => {
  const rows = ['Größe,a', 'schön,b', 'x'].map((row) => Buffer.from(`${row}\n`));
  rows[2] = Buffer.from('Gr\xf6\xdfe,a\n', 'latin1');
  const content = Buffer.concat([Buffer.from('text,label\n'), ...rows]);
  test.match(await refusal(test, 'a.csv', content), /line 4: not valid UTF-8\nCorrect it, or leave it out/);
  const split = await openContent(test, 'a.csv', content, { badRows: 'skip' });
  test.same(await textsOf(split), ['Größe', 'schön']);
});

/** UTF-16 as Notepad and Excel write it: CRLF, tabs, a mark. */
function utf16(text: string, isBigEndian: boolean): Buffer {
  const bytes = Buffer.from(`\ufeff${text}`, 'utf16le');
  return isBigEndian ? bytes.swap16() : bytes;
}

void t.test('UTF-16 and UTF-32 are known by their mark', async (test) => {
  const texts = ['Größe 👍🏽 𠀀 \ufffd', '一二三', 'x'.repeat(70_000), '𠀀'.repeat(700_001)];
  const tsv = `text\tlabel\r\n${texts.map((text, i) => `${text}\t${i % 2}\r\n`).join('')}`;
  for (const isBigEndian of [false, true]) {
    const split = await openContent(test, 'a.tsv', utf16(tsv, isBigEndian));
    test.same(await textsOf(split), texts, 'also where a character lies across two pieces of the file');
    test.match(split.notes, [/a\.tsv is read as UTF-16[BL]E, as its byte order mark says/]);
    test.match(split.place(3), /line 5$/);
    const marked = await openContent(test, 'a.tsv', utf16(tsv, isBigEndian), { encoding: 'windows-1252' });
    test.equal(marked.size, 4, 'the mark wins');
  }
  for (const name of ['utf-16', 'utf-32']) {
    // Python puts the mark before each text.
    const [first] = ENCODED[name] ?? [];
    const unit = name === 'utf-16' ? 2 : 4;
    const wide = (text: string): Buffer =>
      Buffer.concat(
        Array.from(text, (c) => Buffer.from([c.charCodeAt(0), ...Array<number>(unit - 1).fill(0)])),
      );
    const bytes = Buffer.from(first?.bytes ?? '', 'base64');
    const mark = bytes.subarray(0, unit);
    const row = [mark, wide('{"label":1,"text":"'), bytes.subarray(unit), wide('"}\n{"label":2,"text":"b"}')];
    test.same(
      await textsOf(await openContent(test, 'a.jsonl', Buffer.concat(row))),
      [first?.text, 'b'],
      name,
    );
  }
  const half = utf16('text,label\na\ud800b,x\nc,y\n', false);
  test.match(await refusal(test, 'a.csv', half), /line 2: not valid utf-16le\n/);
  const unmarked = utf16('text,label\nabc,x\ndef,y\n', false).subarray(2);
  test.equal(
    await refusal(test, 'a.csv', unmarked),
    'a.csv looks like UTF-16 without a byte order mark; read it with encoding utf-16le',
  );
  // Of Russian and Chinese only blanks, digits and what JSON and CSV are written with have a zero.
  for (const text of ['скучный фильм, и длинный', '这部电影非常好看 推荐大家去看']) {
    const jsonl = `{"text":"${text}","label":"x"}\n{"text":"${text}","label":"y"}\n`;
    const csv = `text,label\n"${text}",x\n"${text}",y\n`;
    for (const [name, content] of [
      ['a.jsonl', jsonl],
      ['a.csv', csv],
      ['a.txt', `${text}\n${text}\n`],
    ] as const)
      for (const isBigEndian of [false, true])
        for (const width of [2, 4]) {
          const points = Array.from(content, (c) => c.codePointAt(0) ?? 0);
          const bytes = Buffer.alloc(width * points.length);
          points.forEach((point, i) => {
            if (isBigEndian) bytes.writeUIntBE(point, width * i, width);
            else bytes.writeUIntLE(point, width * i, width);
          });
          const encoding = `utf-${8 * width}${isBigEndian ? 'be' : 'le'}`;
          test.equal(
            await refusal(test, name, bytes),
            `${name} looks like UTF-${8 * width} without a byte order mark; read it with encoding ${encoding}`,
          );
          const split = await openContent(test, name, bytes, { encoding, needsLabels: false });
          test.same(await textsOf(split), [text, text], `${name}, ${encoding}`);
        }
  }
  const zeros = await openContent(test, 'a.csv', 'text,label\na\0b,x\nc,y\n');
  test.same(await textsOf(zeros), ['a\0b', 'c'], 'a slip');
  const named = await openContent(test, 'a.csv', unmarked, { encoding: 'UTF-16LE' });
  test.same(await textsOf(named), ['abc', 'def']);
});

void t.test('a wrong encoding', async (test) => {
  const csv = 'text,label\nGröße und Höhe über alles,x\nschön,y\n';
  const other = await openContent(test, 'a.csv', csv, { encoding: 'cp1252' });
  test.match(
    other.notes,
    ['a.csv is read as cp1252, but its first bytes are UTF-8: is the encoding right?'].map(
      (note) => new RegExp(note.replace('?', '\\?')),
    ),
  );
  const plain = await openContent(test, 'a.csv', csv, { encoding: 'utf-8-sig' });
  test.same(await textsOf(plain), ['Größe und Höhe über alles', 'schön']);
  test.equal(plain.encoding, null);
  const marked = await openContent(test, 'a.csv', `\ufeff${csv}`, { encoding: 'latin-1' });
  test.match(marked.notes, [/is read as UTF-8, as its byte order mark says, not as latin-1$/]);
  test.equal((await textsOf(marked))[1], 'schön');
  const cut = Buffer.concat([Buffer.from('text,label\nabc'), Buffer.of(0x81), Buffer.from(',x\nb,y\n')]);
  test.match(await refusal(test, 'a.csv', cut, { encoding: 'gb18030' }), /line 2: not valid gb18030\n/);
  const latin1 = Buffer.from('text,label\nschön,x\nb,y\n', 'latin1');
  test.match(await refusal(test, 'a.csv', latin1, { encoding: 'us-ascii' }), /line 2: not valid us-ascii\n/);
  for (const [encoding, hint] of [
    ['windows-1225', 'did you mean windows-1255?'],
    ['base64', 'for example utf-16, '],
    ['', 'for example'],
  ] as const)
    test.match(
      await refusal(test, 'a.csv', csv, { encoding }),
      `encoding "${encoding}" is not known; ${hint}`,
    );
  const folder = folderOf(test, { 'a.csv': csv });
  test.match(
    await messageOf(test, loadDataset({ train: path.join(folder, 'a.csv') }, { encoding: 'latin-99' })),
    'encoding "latin-99" is not known',
  );
});
