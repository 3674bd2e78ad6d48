// A disk that runs full at every single page and file of a checkpoint.
import { rmSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import { fillDisk, requireResumes, trainWith } from '../fixtures/faulty-run.js';
import { mountTmpfs, noTmpfs } from '../fixtures/tmpfs.js';

await t.test('full at every page and file', { skip: noTmpfs(), timeout: 0 }, async (t) => {
  const disk = mountTmpfs(join(t.testdir(), 'disk'));
  try {
    const reference = await trainWith(disk.folder, null);
    for (const name of ['checkpoint-4', 'checkpoint-6'])
      rmSync(join(disk.folder, 'out', name), { recursive: true });
    const pages = await fillDisk(t, disk, 'pages', 1);
    const files = await fillDisk(t, disk, 'files', 1);
    process.stderr.write(`  full at ${pages} sizes and ${files} numbers of files\n`);
    t.ok(pages > 40 && files > 9, `${pages} pages, ${files} files`);
    await requireResumes(t, disk.folder, reference, 2);
  } finally {
    disk.unmount();
  }
});
