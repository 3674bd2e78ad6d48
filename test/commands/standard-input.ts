// Texts that are in no file, before a model sees them.
import { Readable } from 'node:stream';
import t from 'tap';

import { readStandardInput, requireTexts } from '../../dist/commands/standard-input.js';

type Options = Parameters<typeof readStandardInput>[1];

/** The rows that standard input gives, and the remarks; or the message of the error. */
async function read(
  input: string | Buffer,
  options: Options = {},
): Promise<[string, readonly string[]] | string> {
  try {
    const { rows, notes } = await readStandardInput(Readable.from([Buffer.from(input)]), options);
    return [(await Readable.from(rows).toArray()).join(''), notes];
  } catch (error) {
    return error instanceof Error ? `${error.name}: ${error.message}` : '';
  }
}

void t.test('the header of a table is no text', async (t) => {
  const refused = (line: string): string =>
    `UsageError: standard input begins with ${JSON.stringify(line)}, which is the header of a table; it takes JSON Lines ` +
    'or a text a line: give the table as a file, such as --test-file rows.csv';
  for (const line of [
    'text',
    'text,label',
    'id,text',
    '"id","text"',
    'text\tlabel',
    'id;text',
    'Review,Stars',
  ])
    for (const end of ['\n', '\r\n', '\na fine film,pos\n'])
      t.equal(await read(`\ufeff${line}${end}`), refused(line), line);
  t.equal(await read('opinion,id\n', { textColumn: 'opinion' }), refused('opinion,id'));
  for (const line of ['a text', 'Well, text, me', 'the text', 'Text', 'review', 'body,mind', '[text]'])
    t.same(await read(`${line}\n`), [`${JSON.stringify({ text: line })}\n`, []], line);
  t.same(await read('a\ntext\n'), ['{"text":"a"}\n{"text":"text"}\n', []], 'further down it is a text');
  t.same(await read('text\n', { textColumn: 'body' }), ['{"body":"text"}\n', []]);
});

void t.test('lines that arrive in pieces', async (t) => {
  const pieces = ['a', 'b\r', '\n', '\nc', 'd', '\n\u2028e\nf', 'g'].map((piece) => Buffer.from(piece));
  const { rows } = await readStandardInput(Readable.from(pieces), {});
  const texts = (await Readable.from(rows).toArray()).map((row) => JSON.parse(String(row)) as unknown);
  t.same(
    texts,
    ['ab', '', 'cd', '\u2028e', 'fg'].map((text) => ({ text })),
  );
  const long = Readable.from([Buffer.from('a\nbc'), Buffer.from('def')]);
  const read = readStandardInput(long, { maxRowBytes: 4 }).then(async (input) =>
    Readable.from(input.rows).toArray(),
  );
  await t.rejects(read, { message: /^A line of standard input is longer than maxRowBytes, 4; raise it/ });
});

void t.test('other encodings', async (t) => {
  const texts = ['schöne Grüße', 'für später, größer', 'Äpfel müßten süß sein'];
  const rows = texts.map((text) => `${JSON.stringify({ text })}\n`).join('');
  const latin = Buffer.from(`${texts.join('\n')}\n`, 'latin1');
  t.equal(
    await read(latin),
    'UsageError: standard input is not UTF-8, but looks like windows-1252; read it with encoding windows-1252',
  );
  t.same(await read(latin, { encoding: 'latin-1' }), [rows, []]);
  const utf16 = Buffer.from(`\ufeff${texts.join('\r\n')}`, 'utf16le');
  t.same(await read(utf16), [rows, ['standard input is read as UTF-16LE, as its byte order mark says']]);
  t.equal(
    await read(Buffer.of(0x82, 0x0a), { encoding: 'shift_jis' }),
    'UsageError: standard input is not valid shift_jis; name its own encoding',
  );
  t.match(await read('a\n', { encoding: 'latin-17' }), /^UsageError: encoding "latin-17" is not known; /);
});

void t.test('texts of nothing', (t) => {
  const stop = { badRows: 'stop' } as const;
  for (const [texts, message] of [
    [[''], '--text is empty; give it at least one word'],
    [[' \t'], '--text is nothing but white space; give it at least one word'],
    [['a', '', 'b'], 'text 2 of --text is empty; give it at least one word'],
  ] as const)
    t.throws(() => requireTexts(texts, stop), { name: 'UsageError', message });
  t.throws(() => requireTexts(['', ' '], { badRows: 'skip' }), { message: 'text 1 of --text is empty' });
  requireTexts(['a', ''], { badRows: 'skip' });
  requireTexts(['a', '.'], stop);
  t.end();
});
