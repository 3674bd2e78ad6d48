// Safetensors files: hostile ones, and that what is written is what the layout says, whole or not there.
import { execFileSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, symlinkSync, writeFileSync } from 'node:fs';
import { mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import tap from 'tap';

import { RunError, UsageError } from '../../dist/util/errors.js';
import { openSafetensors, type TensorData, writeSafetensors } from '../../dist/formats/safetensors.js';
import type { TensorLayout } from '../../dist/formats/safetensors-header.js';
import { writeFileAtomic, writeDirectoryAtomic } from '../../dist/util/files.js';
import { bytesOf, failure, fails, fixtures } from '../fixtures/model-files.js';

/** A safetensors file with this header, whatever it says. */
function safetensors(header: unknown, dataBytes = 0): Buffer {
  const json = Buffer.from(typeof header === 'string' ? header : JSON.stringify(header));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(json.length));
  return Buffer.concat([length, json, Buffer.alloc(dataBytes)]);
}

/** An entry of a safetensors header, whatever it says. */
const tensor = (begin: unknown, end: unknown, shape: unknown = [2], dtype: unknown = 'F32') => ({
  dtype,
  shape,
  data_offsets: [begin, end],
});

/** The length before a safetensors header, and 8 bytes more. */
const lengthOnly = (length: bigint) => {
  const bytes = Buffer.alloc(16);
  bytes.writeBigUInt64LE(length);
  return bytes;
};

/** Writes to a device that is always full. */
const full = async () => writeFile('/dev/full', 'x'.repeat(100));

/** Fills a folder until the disk is full. */
const halfWay = async (temporary: string) => {
  await mkdir(join(temporary, 'sub'));
  await writeFile(join(temporary, 'sub', 'half'), 'x');
  await full();
};

await tap.test('safetensors files that lie', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'hostile.safetensors');
  const whole = readFileSync(join(fixtures, 'float32', 'model.safetensors'));
  const cases: [label: string, bytes: Buffer, ...words: string[]][] = [
    ['empty file', Buffer.alloc(0), '0 bytes'],
    ['seven bytes', Buffer.alloc(7), '7 bytes'],
    ['no header', lengthOnly(0n).subarray(0, 8), 'not JSON'],
    ['10 GB header', lengthOnly(10_000_000_000n), '10000000000', '32 MiB'],
    ['2^64 - 1 header', lengthOnly(2n ** 64n - 1n), '18446744073709551615', '32 MiB'],
    ['header past the end', lengthOnly(9n), 'header of 9 bytes', 'only 8'],
    ['cut in half', whole.subarray(0, whole.length / 2), 'cut short'],
    ['cut by one byte', whole.subarray(0, -1), 'cut short'],
    ['one byte more', Buffer.concat([whole, Buffer.alloc(1)]), 'last 1 bytes'],
    ['not UTF-8', Buffer.concat([safetensors('').fill(2, 0, 1), Buffer.from([0xc3, 0x28])]), 'UTF-8'],
    ['not JSON', safetensors('{"a":\n'), 'not JSON'],
    ['byte order mark', safetensors('\uFEFF{}'), 'not JSON'],
    ['an array', safetensors([]), 'not a JSON object'],
    ['metadata of numbers', safetensors({ __metadata__: { format: 1 } }), '__metadata__'],
    ['metadata a list', safetensors({ __metadata__: [] }), '__metadata__'],
    ['tensor a string', safetensors({ w: 'F32' }), '"w"', 'object'],
    ['unknown dtype', safetensors({ w: tensor(0, 8, [2], 'F33') }, 8), '"w"', 'dtype "F33"'],
    ['inherited dtype', safetensors({ w: tensor(0, 8, [2], 'toString') }, 8), 'dtype "toString"'],
    ['no dtype', safetensors({ w: { shape: [], data_offsets: [0, 4] } }, 4), 'dtype undefined'],
    ['shape not a list', safetensors({ w: tensor(0, 8, 2) }, 8), 'shape of tensor "w"'],
    ['shape not whole', safetensors({ w: tensor(0, 8, [0.5, 4]) }, 8), 'shape of tensor "w"'],
    ['shape negative', safetensors({ w: tensor(0, 8, [-1, -2]) }, 8), 'shape of tensor "w"'],
    ['shape overflows', safetensors({ w: tensor(0, 8, [2 ** 40, 2 ** 40]) }, 8), 'overflows'],
    ['shape overflows to 0', safetensors({ w: tensor(0, 0, [2 ** 52, 2 ** 52, 0]) }), 'overflows'],
    [
      'dtype of another size',
      safetensors({ w: tensor(0, 8, [2], 'F64') }, 8),
      'F64 [2]',
      '16 bytes',
      'span 8',
    ],
    ['offsets swapped', safetensors({ w: tensor(8, 0) }, 8), 'span -8'],
    ['offset negative', safetensors({ w: tensor(-8, 0) }, 8), 'data_offsets of tensor "w"'],
    ['offset not whole', safetensors({ w: tensor(0.5, 8.5) }, 8), 'data_offsets'],
    ['offset a string', safetensors({ w: tensor('0', '8') }, 8), 'data_offsets'],
    ['offset too large', safetensors({ w: tensor(0, 2 ** 60) }, 8), 'data_offsets'],
    ['three offsets', safetensors({ w: { ...tensor(0, 8), data_offsets: [0, 8, 8] } }, 8), 'data_offsets'],
    ['past the end', safetensors({ w: tensor(0, 8) }, 4), '"w" ends at byte 8', 'only 4'],
    ['overlap', safetensors({ a: tensor(0, 8), b: tensor(4, 12) }, 12), '"b" overlaps'],
    ['same bytes twice', safetensors({ a: tensor(0, 8), b: tensor(0, 8) }, 8), 'overlaps'],
    ['hole', safetensors({ a: tensor(0, 8), b: tensor(12, 20) }, 20), '4 bytes before tensor "b"'],
    ['hole at the start', safetensors({ a: tensor(4, 12) }, 12), '4 bytes before tensor "a"'],
    [
      'name twice',
      safetensors(`{"a":${JSON.stringify(tensor(0, 8))},"a":${JSON.stringify(tensor(8, 16))}}`, 16),
      'a key twice',
    ],
    ['endless name', safetensors({ ['line\n'.repeat(9999)]: 1 }), '...'],
  ];
  for (const [label, bytes, ...words] of cases) {
    writeFileSync(path, bytes);
    await fails(t, label, UsageError, [path, ...words], () => openSafetensors(path));
  }
  execFileSync('mkfifo', [join(folder, 'pipe')]);
  symlinkSync('circle', join(folder, 'circle'));
  for (const [name, word] of [
    ['pipe', 'not a regular file'],
    ['.', 'it is a folder'],
    ['absent', 'no such file'],
    ['circle', 'circle'],
    ['pipe/below', 'is a file, not a folder'],
  ] as const) {
    await fails(t, name, UsageError, [name, word], () => openSafetensors(join(folder, name)));
  }
  writeFileSync(path, safetensors({ w: tensor(0, 8), ['__proto__']: tensor(8, 16) }, 16));
  const { tensors, close } = await openSafetensors(path);
  t.strictSame([...tensors.keys()].toSorted(), ['__proto__', 'w'], 'a name is only a name');
  writeFileSync(path, safetensors({}));
  await fails(t, 'shortened while open', RunError, [path, 'shorter'], () => bytesOf(tensors.get('w')));
  await close();
});

await tap.test('a safetensors file gets exactly the tensors of its layout', async (t) => {
  const folder = t.testdir();
  const path = join(folder, 'new.safetensors');
  const layout: TensorLayout[] = [
    { name: 'a', dtype: 'F32', shape: [2] },
    { name: 'b', dtype: 'F16', shape: [3] },
  ];
  const a = { name: 'a', dtype: 'F32' as const, shape: [2], data: new Uint8Array(8) };
  const b = { name: 'b', dtype: 'F16' as const, shape: [3], data: new Uint8Array(6) };
  const cases: [label: string, tensors: TensorData[], ...words: string[]][] = [
    ['one missing', [a], 'no data came for b'],
    ['one twice', [a, a, b], 'a is not in its layout, or came twice'],
    ['a stranger', [a, { ...b, name: 'c' }], 'c is not in its layout'],
    ['another shape', [{ ...a, shape: [2, 1] }, b], 'F32 [2] of 8 bytes for a', 'F32 [2, 1]'],
    ['another dtype', [{ ...a, dtype: 'I32' }, b], 'I32 [2]'],
    ['too few bytes', [{ ...a, data: new Uint8Array(7) }, b], '7 bytes'],
  ];
  for (const [label, tensors, ...words] of cases) {
    await fails(t, label, RunError, [path, ...words], () => writeSafetensors(path, tensors, layout));
  }
  await fails(t, 'layout with a name twice', RunError, ['twice'], () => {
    return writeSafetensors(path, [a, b], [...layout, ...layout]);
  });
  t.strictSame(readdirSync(folder), [], 'nothing half-written');
  mkdirSync(path);
  await fails(t, 'folder in the way', RunError, [path, 'in the way'], () =>
    writeSafetensors(path, [a, b], layout),
  );
  t.strictSame(readdirSync(folder), ['new.safetensors']);
});

await tap.test('what is written is whole or not there', async (t) => {
  const folder = t.testdir({ file: 'old', dir: { old: '1' } });
  const listing = () => readdirSync(folder, { recursive: true }).map(String).toSorted();
  const before = listing();
  const target = (name: string) => join(folder, name);

  await fails(t, 'file, disk full', RunError, ['file', 'disk is full'], () =>
    writeFileAtomic(target('file'), full),
  );
  const folders = ['dir', 'new'];
  for (const name of folders) {
    const action = () => writeDirectoryAtomic(target(name), halfWay);
    await fails(t, `folder ${name}, disk full`, RunError, [name, 'disk is full'], action);
  }
  const below = target('file/below');
  await fails(t, 'file below a file', RunError, [below, 'in the way'], () => writeFileAtomic(below, 'x'));
  await fails(t, 'folder below a file', RunError, [below, 'in the way'], () =>
    writeDirectoryAtomic(below, full),
  );
  const overFile = () => writeDirectoryAtomic(target('file'), async () => {});
  await fails(t, 'folder over a file', RunError, ['file', 'not a folder'], overFile);
  await fails(t, 'file over a folder', RunError, ['dir', 'folder is in the way'], () => {
    return writeFileAtomic(target('dir'), 'x');
  });
  await fails(t, 'long name', RunError, ['too long'], () => writeFileAtomic(target('x'.repeat(300)), 'x'));
  const own = await failure(() =>
    writeFileAtomic(target('file'), () => Promise.reject(new TypeError('bug'))),
  );
  t.type(own, TypeError, 'other errors pass unchanged');
  t.strictSame(listing(), before, 'nothing half-written, nothing lost');
  t.equal(readFileSync(target('file'), 'utf8'), 'old');

  // A second writer of the same name has a temporary name of its own.
  await Promise.all(['a', 'b'].map((text) => writeFileAtomic(target('file'), text)));
  t.match(readFileSync(target('file'), 'utf8'), /^[ab]$/);
  await writeDirectoryAtomic(target('dir'), (path) => writeFile(join(path, 'fresh'), '2'));
  await writeDirectoryAtomic(target('deep/new'), (path) => writeFile(join(path, 'fresh'), '3'));
  t.strictSame(listing(), ['deep', 'deep/new', 'deep/new/fresh', 'dir', 'dir/fresh', 'file']);
});
