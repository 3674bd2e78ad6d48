// The quickstart's data and vocabulary: how its scripts read mails, and that the committed tokenizer fits them.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { parse } from 'csv-parse/sync';
import { test } from 'tap';
import { BertTokenizer } from '../../dist/tokenizer/index.js';
import { prepareQuickstartData } from '../../scripts/quickstart/data.mjs';
import { readMail } from '../../scripts/quickstart/mail.mjs';
import { trainWordPiece } from '../../scripts/quickstart/word-piece.mjs';
import { projectRoot } from '../../scripts/setup/paths.mjs';

/** The text of a mail given as lines, one character a byte. */
function mail(...lines: string[]): { subject: string; body: string } {
  const { subject, body } = readMail(Buffer.from(lines.join('\n'), 'latin1'));
  return { subject, body: body.replace(/\s+/g, ' ').trim() };
}

async function rows(path: string): Promise<{ text: string; label: string }[]> {
  return parse<{ text: string; label: string }>(await readFile(path), { columns: true });
}

function letters(text: string): string {
  return text.toLowerCase().replace(/\P{Letter}+/gu, '');
}

await test('a mail is its subject and body', async (t) => {
  t.same(
    mail(
      'From a@b.c Thu Aug 22',
      'Received: x',
      '\tby y',
      'Subject: Hello',
      ' there',
      'To: me',
      '',
      'Hi.',
      '',
      'Bye',
    ),
    {
      subject: 'Hello there',
      body: 'Hi. Bye',
    },
  );
  t.same(mail('Subject: =?ISO-8859-1?Q?caf=E9_au?= =?utf-8?B?IGxhaXQ=?=', '', ''), {
    subject: 'café au lait',
    body: '',
  });
  t.same(
    mail(
      'Content-Type: text/plain; charset=ISO-8859-1',
      'Content-Transfer-Encoding: quoted-printable',
      '',
      'soft=',
      'break =A3 =3D',
    ).body,
    'softbreak £ =',
  );
  t.same(
    mail(
      'Content-Transfer-Encoding: base64',
      'Content-Type: text/html; charset="utf-8"',
      '',
      Buffer.from('<style>p{}</style><p>caf&eacute; &amp; caf&#233; é<br>x</p><!-- no -->').toString(
        'base64',
      ),
    ).body,
    'caf&eacute; & café é x',
  );
  t.same(mail('Content-Type: text/plain; charset=big5', '', '\xa4\xa4\xa4\xe5').body, '中文');
  t.same(
    mail('Content-Type: text/plain; charset=no-such', '', 'na\xefve').body,
    'naïve',
    'an unknown charset',
  );
  t.same(mail('Subject: only headers').body, '');
});

await test('of the parts of a mail the text counts', async (t) => {
  const parts = (type: string) =>
    mail(
      `Content-Type: multipart/${type};`,
      '  boundary="=_a+b"',
      '',
      'This is a multi-part message in MIME format.',
      '--=_a+b',
      'Content-Type: text/plain',
      '',
      'plain',
      '--=_a+b',
      'Content-Type: text/html',
      '',
      '<b>rich</b>',
      '--=_a+b',
      'Content-Type: image/gif',
      'Content-Transfer-Encoding: base64',
      '',
      'R0lGODlh',
      '--=_a+b--',
      '',
      'afterwards',
    ).body;
  t.equal(parts('alternative'), 'plain');
  t.equal(parts('mixed'), 'plain rich', 'up to the closing boundary');
  t.equal(mail('Content-Type: message/rfc822', '', 'Subject: inner', '', 'inside').body, 'inside');
});

await test('training and test mails', async (t) => {
  const directory = join(t.testdirName, 'data');
  const paths = await prepareQuickstartData(directory);
  const [train, held] = [await rows(paths.train), await rows(paths.test)];
  const seen = new Set(train.map(({ text }) => letters(text)));
  t.same(
    held.filter(({ text }) => seen.has(letters(text))),
    [],
    'no mail is on both sides',
  );
  const share = held.length / (train.length + held.length);
  t.ok(share > 0.19 && share < 0.22, `a fifth is held out: ${share}`);
  for (const split of [train, held]) {
    const spam = split.filter(({ label }) => label === 'spam').length / split.length;
    t.ok(spam > 0.25 && spam < 0.3, `share of spam: ${spam}`);
    t.same(
      split.filter(({ label }) => label !== 'spam' && label !== 'ham'),
      [],
    );
  }
  t.notMatch(
    train.map(({ text }) => text.slice(0, 40)).join('\n'),
    /^(Received|Return-Path|Delivered-To|List-Id):/m,
  );

  const before = await stat(paths.train);
  await prepareQuickstartData(directory);
  t.equal((await stat(paths.train)).mtimeMs, before.mtimeMs, 'up to date, so left alone');

  const tokenizer = await BertTokenizer.fromPretrained(join(projectRoot, 'configs', 'quickstart-model'));
  t.equal(tokenizer.vocabSize, 8192);
  const unknown = tokenizer.tokenToId('[UNK]');
  const ids = held.flatMap(({ text }) =>
    Array.from(tokenizer.encode(text, undefined, { maxLength: 128 }).ids),
  );
  const unknownShare = ids.filter((id) => id === unknown).length / ids.length;
  t.ok(unknownShare < 0.01, `unknown words of held-out mails: ${unknownShare}`);
});

await test('WordPiece merges the most frequent pair, and of equal ones the first in the alphabet', async (t) => {
  const words = new Map([
    ['ab', 3],
    ['abc', 2],
    ['bc', 2],
    ['a?', 9],
  ]);
  const characters = ['a', 'b', 'c', '##a', '##b', '##c'];
  // a ##b comes 5 times; then ab ##c and b ##c come twice each; the word with "?" is left out.
  t.same(trainWordPiece(words, 7, ['a', 'b', 'c']), [...characters, 'ab']);
  t.same(trainWordPiece(words, 99, ['a', 'b', 'c']), [...characters, 'ab', 'abc', 'bc']);
  t.same(
    trainWordPiece(new Map([['aaaaa', 1]]), 4, ['a']),
    ['a', '##a', '##aa', '##aaaa'],
    'pairs that overlap',
  );
  t.same(trainWordPiece(new Map(), 99, ['a']), ['a', '##a']);
});
