// Data files by someone who means harm, and the CSV of predictions that a spreadsheet opens.
import { execFileSync } from 'node:child_process';
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { gzipSync } from 'node:zlib';
import t, { type Test } from 'tap';

import { openSplit, type SplitOptions } from '../../dist/data/index.js';
import { checkRuns, PageReader, ThriftReader } from '../../dist/data/parquet-encoding.js';
import { ZstdFrames } from '../../dist/data/compression.js';
import { BertTokenizer, UsageError } from '../../dist/index.js';
import { frame } from '../../scripts/fuzz/formats/zstd.mjs';

const folder = t.testdir();
const MIB = 2 ** 20;

/** Milliseconds of computing, which a busy machine does not change. */
function cpuMs(): number {
  const { user, system } = process.cpuUsage();
  return (user + system) / 1000;
}

function written(name: string, content: string | Uint8Array): string {
  const path = join(folder, name);
  writeFileSync(path, content);
  return path;
}

/** All texts of a file, bad rows skipped. */
async function textsOf(path: string, options: Partial<SplitOptions> = {}): Promise<string[]> {
  const split = await openSplit({
    name: 'train',
    files: [path],
    needsLabels: true,
    badRows: 'skip',
    ...options,
  });
  try {
    const rows = await split.read(Array.from({ length: split.size }, (_, row) => row));
    return rows.map(({ text }) => text);
  } finally {
    await split.close();
  }
}

async function refuses(t: Test, label: string, pattern: RegExp, read: () => Promise<unknown>): Promise<void> {
  const started = cpuMs();
  const error = await read().then(
    () => null,
    (caught: unknown) => caught,
  );
  t.ok(error instanceof UsageError, `${label}: ${String(error)}`);
  t.match(error instanceof Error ? error.message : '', pattern, label);
  t.ok(cpuMs() - started < 10_000, `${label}: ${Math.round(cpuMs() - started)} ms`);
}

t.test('what compresses too well is refused, unless it is meant', async (t) => {
  // 64 MiB are free, beyond that a byte of the file allows as many as the ratio says.
  const rows = Buffer.concat([
    Buffer.from('text,label\n'),
    Buffer.alloc(66 * MIB, `${'a film '.repeat(200)},1\n`),
  ]);
  const gzip = written('dense.csv.gz', gzipSync(rows));
  const zstd = written(
    'dense.csv.zst',
    frame(Buffer.concat([Buffer.from('text,label\na,1\n'), Buffer.alloc(80 * MIB, '\n')])),
  );
  await refuses(t, 'gzip', /more than 1 times as large.*maxCompressionRatio/, () =>
    textsOf(gzip, { maxCompressionRatio: 1 }),
  );
  await refuses(t, 'zstd', /more than 100 times as large/, () => textsOf(zstd));
  const small = written('small.csv.gz', gzipSync(rows.subarray(0, 11 + 1403 * 1000)));
  t.equal((await textsOf(small, { maxCompressionRatio: 1 })).length, 1000, 'small files are free');
});

t.test('zstd: windows', (t) => {
  /** A frame of blocks of one byte; its window is 1 KiB times a power of two, and eighths of that more. */
  const frame = ({ exponent, eighths = 0, blocks }: Record<string, number>): Uint8Array =>
    Buffer.concat([
      Buffer.of(0x28, 0xb5, 0x2f, 0xfd, 0, ((exponent ?? 0) << 3) | eighths),
      ...Array.from({ length: blocks ?? 0 }, () => Buffer.of(0x0a, 0, 0, 0x61)),
    ]);
  const push = (bytes: Uint8Array) => () => new ZstdFrames().push(bytes);
  t.doesNotThrow(push(frame({ exponent: 17, blocks: 1 })), '128 MiB');
  t.throws(push(frame({ exponent: 17, eighths: 1, blocks: 1 })), /larger than 128 MiB/);
  t.doesNotThrow(push(frame({ exponent: 17, blocks: 32 })), '32 blocks in the largest window');
  t.throws(push(frame({ exponent: 17, blocks: 33 })), /too small for its window/, 'one more');
  t.doesNotThrow(push(frame({ exponent: 10, blocks: 1000 })), 'in a small window any number');
  t.end();
});

t.test('a small file of nothing but line ends is done with at once', async (t) => {
  const path = written('blank.csv.gz', gzipSync(Buffer.alloc(16 * MIB, '\n')));
  const started = cpuMs();
  await refuses(t, 'blank lines', /no rows/, () => textsOf(path));
  t.ok(cpuMs() - started < 5000, `${Math.round(cpuMs() - started)} ms`);
});

t.test('rows: their size is limited, and the limit can be raised', async (t) => {
  const text = 'é'.repeat(9 * MIB); // 18 MiB of UTF-8
  const forms: [name: string, content: string][] = [
    [
      'long.jsonl',
      `{"text":"short","label":"a"}\n{"text":"${text}","label":"b"}\n{"text":"last","label":"a"}\n`,
    ],
    ['long.csv', `text,label\nshort,a\n"${text}",b\nlast,a\n`],
    [
      'long.json',
      `[{"text":"short","label":"a"},{"text":"last","label":"a"},{"text":"${text}","label":"b"}]`,
    ],
  ];
  for (const [name, content] of forms) {
    const path = written(name, content);
    t.same(await textsOf(path), ['short', 'last'], `${name}: a bad row`);
    await refuses(t, name, /16777216 bytes/, () => textsOf(path, { badRows: 'stop' }));
    const all = await textsOf(path, { maxRowBytes: 32 * MIB });
    t.same(
      all.map(({ length }) => length).toSorted((a, b) => a - b),
      [4, 5, text.length],
      `${name}: allowed`,
    );
  }
});

t.test('a text that is longer than rows usually may be is read and cut', async (t) => {
  const path = written(
    'huge.jsonl',
    `{"text":"${'ein größerer Film '.repeat(1_000_000)}","label":"a"}\n{"text":"b","label":"b"}\n`,
  );
  const [text = ''] = await textsOf(path, { maxRowBytes: 32 * MIB });
  t.ok(Buffer.byteLength(text) > 16 * MIB);
  const tokenizer = BertTokenizer.fromSpec({
    tokenizerJson: {
      normalizer: { type: 'BertNormalizer' },
      pre_tokenizer: { type: 'BertPreTokenizer' },
      model: {
        type: 'WordPiece',
        unk_token: '[UNK]',
        continuing_subword_prefix: '##',
        vocab: { '[UNK]': 0, film: 1 },
      },
    },
    tokenizerConfig: {},
  });
  const [start, cut] = [cpuMs(), tokenizer.encode(text, undefined, { maxLength: 512 })];
  const [middle, whole] = [cpuMs(), tokenizer.encode(text)];
  t.same([cut.ids.length, whole.ids.length], [512, 3_000_000]);
  const [short, long] = [middle - start, cpuMs() - middle].map(Math.round);
  t.ok((short ?? 0) < (long ?? 0) / 4, `what is cut off costs nothing: ${short} of ${long} ms`);
});

t.test('a million columns', async (t) => {
  const names = Array.from({ length: 1_000_000 }, (_, column) => `c${column}`);
  const columns = written(
    'columns.csv',
    `text,${names.slice(2).join()},label\na film,${','.repeat(999_997)},pos\n`,
  );
  const started = cpuMs();
  t.same(await textsOf(columns), ['a film']);
  await refuses(t, 'no usual name', /has no columns with usual names .* and 999980 more/, () =>
    textsOf(written('unnamed.csv', `${names.join()}\n`)),
  );
  t.ok(cpuMs() - started < 20_000, `${Math.round(cpuMs() - started)} ms`);
  await refuses(t, 'more', /more than 1000000 fields/, () =>
    textsOf(written('more.csv', `${','.repeat(1_000_001)}\n`)),
  );
  await refuses(t, 'more, with a quote', /more than 1000000 fields/, () =>
    textsOf(written('more.csv', `a"b${','.repeat(1_000_001)}\n`)),
  );
});

t.test('a CSV that is wrong in every line is passed over in linear time', async (t) => {
  for (const [first, line] of [
    ['a,b\n', '"a"b\n'],
    ['a,b\n', 'x"y,"b\n'],
    [`${'a'.repeat(2 ** 19)},b\n`, '"a"b,x\n'],
  ] as const) {
    const path = written('wrong.csv', `text,label\n${first}${line.repeat(100_000)}c,d\n`);
    const started = cpuMs();
    t.same(
      (await textsOf(path)).map((text) => text[0]),
      ['a', 'c'],
      JSON.stringify(line),
    );
    t.ok(cpuMs() - started < 20_000, `${Math.round(cpuMs() - started)} ms`);
  }
  // From each line a quote is open to the end, whether or not one was open before it.
  const open = written('open.csv', `text,label\na,b\n${'x","""\n'.repeat(2 ** 20)}c,d\n`);
  const started = cpuMs();
  t.same(await textsOf(open), ['a']);
  t.ok(cpuMs() - started < 60_000, `${Math.round(cpuMs() - started)} ms`);
});

t.test('NUL bytes, lone surrogates, byte order marks, quotes that are never closed', async (t) => {
  t.same(
    await textsOf(written('nul.csv', 'text,label\na\0b,\0\nc,d\n')),
    ['a\0b', 'c'],
    'NUL is a character',
  );
  t.same(
    await textsOf(
      written(
        'half.jsonl',
        '{"text":"\\ud800","label":"a"}\n{"text":"b","label":"\\udfff"}\n{"text":"c","label":"d"}\n',
      ),
    ),
    ['c'],
  );
  const wide = Buffer.from('\uFEFFtext,label\na\ud800,b\n', 'utf16le');
  await refuses(t, 'UTF-16', /not valid utf-16le/, () => textsOf(written('utf16.csv', wide)));
  await refuses(t, 'unclosed', /never closed/, () =>
    textsOf(written('open.csv', `text,label\n"${'a,b\n'.repeat(2000)}`), { badRows: 'stop' }),
  );
  const proto = '{"__proto__":{"text":"x"},"constructor":1,"text":"a","label":"b"}\n';
  t.same(await textsOf(written('proto.jsonl', `${proto}${proto}`)), ['a', 'a']);
  t.notOk('text' in {}, 'Object.prototype is as it was');
});

/** A program run by itself: tap's loader does not find the parts of the package that writes Parquet. */
function run(args: readonly string[], input = ''): string {
  const options = { input, env: { ...process.env, NODE_OPTIONS: '' }, encoding: 'utf8' as const };
  return execFileSync(process.execPath, args, options);
}

const PARQUET = `
  import { parquetWriteBuffer } from 'hyparquet-writer';
  const columnData = [
    { name: 'text', data: ['one', null, 'two', 'three'], type: 'STRING' },
    { name: 'label', data: ['a', 'b', 'a', 'b'], type: 'STRING' },
  ];
  process.stdout.write(Buffer.from(parquetWriteBuffer({ columnData, codec: 'UNCOMPRESSED' })).toString('base64'));
`;

function parquet(change: (bytes: Buffer) => void): string {
  const bytes = Buffer.from(run(['--input-type=module', '-e', PARQUET]), 'base64');
  change(bytes);
  return written('rows.parquet', bytes);
}

t.test('Parquet: numbers that lie', async (t) => {
  t.same(await textsOf(parquet(() => undefined)), ['one', 'two', 'three']);
  const footerLength = (bytes: Buffer): number => bytes.length - 8;
  await refuses(t, 'footer', /metadata are longer than the file/, () =>
    textsOf(parquet((bytes) => bytes.writeUInt32LE(bytes.length - 11, footerLength(bytes)))),
  );
  await refuses(t, 'no footer', /metadata/, () =>
    textsOf(parquet((bytes) => bytes.writeUInt32LE(1, footerLength(bytes)))),
  );
  await refuses(t, 'magic', /does not end with PAR1/, () =>
    textsOf(parquet((bytes) => bytes.writeUInt32LE(0, bytes.length - 4))),
  );
  // Field 4 of an element of the schema is its name; as field 5 it is none.
  await refuses(t, 'no name', /a column in its metadata has no name/, () =>
    textsOf(
      parquet((bytes) => {
        const name = bytes.indexOf(Buffer.of(0x18, 4, 0x74, 0x65, 0x78, 0x74)); // "text"
        t.ok(name > 0, 'the name is where it is looked for');
        bytes[name] = 0x28;
      }),
    ),
  );
  // Field 6 behind the name is the type of a text; as field 5 it is how many columns are below: 4, of 3 in all.
  await refuses(t, 'more parts than columns', /the number of parts of a column is 4, out of bounds/, () =>
    textsOf(
      parquet((bytes) => {
        const name = bytes.indexOf('text\x25\0', 0, 'latin1');
        t.ok(name > 0, 'the type is where it is looked for');
        bytes.set([0x15, 8], name + 4);
      }),
    ),
  );
  const runOf = (values: number) => () => checkRuns(new PageReader(Uint8Array.of(2 * values, 1)), 1, 4);
  t.doesNotThrow(runOf(4));
  t.throws(runOf(5), /more values than its page/);
  /** A list of empty structs as field 1, and the end. */
  const listOf = (length: number) => () =>
    new ThriftReader(Uint8Array.of(0x19, (length << 4) | 0x0c, 0, 0, 0), 0).struct();
  t.doesNotThrow(listOf(2));
  t.throws(listOf(4), /longer than they are/, 'of 3 bytes');
  const nested = (levels: number) => () =>
    new ThriftReader(Buffer.concat([Buffer.alloc(levels, 0x1c), Buffer.alloc(levels + 1)]), 0).struct();
  t.doesNotThrow(nested(20));
  t.throws(nested(21), /nested too deep/);
  /** A list of so many booleans, a byte each. */
  const values = (count: number) => () => {
    const length = Buffer.of(0xf1, (count & 0x7f) | 0x80, ((count >> 7) & 0x7f) | 0x80, count >> 14);
    new ThriftReader(Buffer.concat([Buffer.of(0x19), length, Buffer.alloc(count + 1)]), 0).struct();
  };
  t.doesNotThrow(values(999_999), 'with the list a million values');
  t.throws(values(1_000_000), /more than 1000000 values/);
});

t.test('Parquet: a run in a page that is longer than the page', async (t) => {
  const path = parquet((bytes) => {
    // Definition levels 1 0 1 1: the writer packs them as a group of eight; here they become a run of 5.
    const levels = bytes.indexOf(Buffer.of(3, 0b1101, 3, 0, 0, 0));
    t.ok(levels > 0, 'the levels are where they are looked for');
    bytes[levels] = 10;
  });
  await refuses(t, 'run', /rows 1 to 4 cannot be decoded.*a run has more values than its page/, () =>
    textsOf(path),
  );
});

t.test('CSV of predictions: nothing that a spreadsheet computes', async (t) => {
  const labels = ['=1+1', '+A1', '-A1', '@SUM(A1)', '\tx', '\rx', '＝1', '-1', '+2.5', 'plain', 'a=b'];
  const task = { problemType: 'single_label_classification' as const, labels, numLabels: labels.length };
  const rows = labels.map((label, row) => ({ row, label, score: -0.5, probabilities: {} }));
  const script = fileURLToPath(new URL('../fixtures/write-predictions.mjs', import.meta.url));
  const input = JSON.stringify({ format: 'csv', rows, task, batchSize: 20 });
  const pieces = JSON.parse(run([script], input)) as string[];
  const text = pieces.map((piece) => Buffer.from(piece, 'base64').toString()).join('');
  const cells = text
    .split('\n')
    .slice(1, -1)
    .map((line) => line.split(',')[1]?.replaceAll('"', ''));
  t.same(cells, ["'=1+1", "'+A1", "'-A1", "'@SUM(A1)", "'\tx", "'\rx", "'＝1", '-1', '+2.5', 'plain', 'a=b']);
  t.ok(text.split('\n')[1]?.includes(',-0.5,'), 'numbers stay numbers');
  t.notMatch(text.split('\n')[0] ?? '', /(^|,)"?[=+@-]/, 'the header begins with other letters');
});
