// Files and columns that cannot be used.
import path from 'node:path';

import t from 'tap';

import { type Content, type Overrides, folderOf, openPaths, refusal, messageOf } from '../fixtures/splits.js';

void t.test('files and columns that cannot be used', async (test) => {
  const good = 'text,label\na,x\nb,y\n';
  const cases: [name: string, content: Content, message: RegExp, overrides?: Overrides][] = [
    ['a.csv', '', /^a\.csv is empty; give a file that holds rows$/],
    ['a.csv', 'text,label\n', /a\.csv: no rows, only a header/],
    ['a.json', '[ ]', /a\.json: no rows/],
    ['a.doc', good, /^a\.doc is of an unknown format; the name must end in one of \.csv/],
    ['a.parquet.gz', good, /unknown format/],
    [
      'a.csv',
      'v1,v2\nham,hello\n',
      /no columns with usual names for the label and text; it has the columns "v1", "v2"; .*labelColumn/,
    ],
    [
      'a.csv',
      'label,v1,v2\nx,a,b\n',
      /usual name for the text; it has the columns .*; name it with textColumn/,
    ],
    [
      'a.csv',
      'text;label\na;x\nb;y;z\n',
      /separated by a comma in \.csv and a tab in \.tsv, here it seems to be ";", but not in every row alike: write the file with commas/,
    ],
    [
      'a.tsv',
      'text;label\na;x\nb;y;z\n',
      /seems to be ";", .*: write the file with tabs, and texts in quotes/,
    ],
    ['a.csv', 'text,text,label\na,b,x\n', /has 2 columns called "text"/],
    [
      'a.csv',
      good,
      /no column "txet"; it has the columns "text", "label"; did you mean "text"\?/,
      { textColumn: 'txet' },
    ],
    ['a.csv', good, /no column "zzzzzz".*; labelColumn names another/, { labelColumn: 'zzzzzz' }],
    ['a.csv', good, /no column "pair"/, { textPairColumn: 'pair' }],
    ['a.csv', good, /are both text/, { textColumn: 'text', textPairColumn: 'text' }],
    ['a.csv', 'text,label\n1,x\n2.5,y\n', /"text" of a\.csv holds only numbers; is it the text\?/],
    ['a.jsonl', '{"text":1,"label":"x"}\n{"text":2,"label":"y"}\n', /holds only numbers/],
    [
      'a.csv',
      `text,label\n${Array.from({ length: 10_001 }, (_, i) => `a,l${i}\n`).join('')}`,
      /more than 10000 different/,
    ],
  ];
  for (const [name, content, message, overrides] of cases) {
    test.match(await refusal(test, name, content, overrides), message, String(message));
  }
  const folder = folderOf(test, { 'train.csv': good, 'other.csv': 'text,class\na,x\n' });
  const refuse = (...files: string[]): Promise<string> =>
    messageOf(
      test,
      openPaths(
        test,
        files.map((file) => path.join(folder, file)),
      ),
    );
  test.match(await refuse('trian.csv'), /^trian\.csv does not exist; did you mean train\.csv\?$/);
  test.match(
    await refuse('train.csv', 'other.csv'),
    /^other\.csv has no column "label"; it has the columns "text", "class"/,
  );
  test.match(
    await messageOf(test, openPaths(test, [folder])),
    /is a folder; name the files in it, e\.g\. .*\*\.csv$/,
  );
  test.match(await messageOf(test, openPaths(test, [])), /No files were given for the train data/);
});
