#!/usr/bin/env bash
# Guess: a file that becomes shorter while @huggingface/hub uploads it ends the upload with an error, or goes as what it is then.
# Seen, @huggingface/hub 2.17.5: its size is read once, a short read is not noticed, and the commit has the rest of the old length
# as zero bytes. (FileBlob.arrayBuffer; no network: `fetch` is one of the script.)
set -euo pipefail
cd "$(mktemp -d)"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact @huggingface/hub@2.17.5 >/dev/null
cat > push.mjs <<'JS'
import assert from 'node:assert';
import { readFileSync, truncateSync, writeFileSync } from 'node:fs';
import { pathToFileURL } from 'node:url';
import { commit } from '@huggingface/hub';

console.log('@huggingface/hub', JSON.parse(readFileSync('node_modules/@huggingface/hub/package.json', 'utf8')).version);
writeFileSync('notes.txt', 'first line\nsecond line\n');
let committed;
const fetch = async (url, init) => {
  if (url.includes('/preupload/')) {
    truncateSync('notes.txt', 11); // somebody shortens it
    return Response.json({ files: [{ path: 'notes.txt', uploadMode: 'regular' }] });
  }
  committed = init.body.split('\n').map((line) => JSON.parse(line)).find(({ key }) => key === 'file').value;
  return Response.json({ commitOid: 'a'.repeat(40), commitUrl: '', hookOutput: '' });
};
await commit({
  repo: 'me/model',
  title: 'notes',
  operations: [{ operation: 'addOrUpdate', path: 'notes.txt', content: pathToFileURL('notes.txt') }],
  accessToken: 'hf_x',
  fetch,
});
const content = Buffer.from(committed.content, 'base64').toString();
console.log('on disk  ', JSON.stringify(readFileSync('notes.txt', 'utf8')));
console.log('committed', JSON.stringify(content));
assert.strictEqual(content, `first line\n${'\0'.repeat(12)}`);
JS
node push.mjs
