#!/usr/bin/env bash
# Guess: @huggingface/hub calls the `verify` action that an LFS server gives for an object, as git-lfs's specification of the basic
# transfer demands and as Python's huggingface_hub does.
# Seen, @huggingface/hub 2.17.5 beside huggingface_hub 2.4.0: JavaScript uploads and commits without it; Python asks for it after the
# upload. And when the upload is refused, the error of the JavaScript client has the whole signed address. (Loopback and a `fetch`
# of the script; no network.)
set -euo pipefail
cd "$(mktemp -d)"
npm init -y >/dev/null
npm install --silent --no-audit --no-fund --save-exact @huggingface/hub@2.17.5 >/dev/null
python3 -m venv venv
venv/bin/pip install -q huggingface_hub==2.4.0
cat > server.mjs <<'JS'
import { createServer } from 'node:http';
const server = createServer((request, response) => {
  const home = `http://127.0.0.1:${server.address().port}`;
  const parts = [];
  request.on('data', (part) => parts.push(part)).on('end', () => {
    const { pathname } = new URL(request.url, home);
    console.log(request.method, pathname);
    const json = (body) => response.setHeader('content-type', 'application/json').end(JSON.stringify(body));
    if (pathname.includes('/preupload/')) return json({ files: [{ path: 'weights.bin', uploadMode: 'lfs', shouldIgnore: false }] });
    if (pathname.endsWith('/objects/batch')) {
      const objects = JSON.parse(Buffer.concat(parts)).objects.map((one) => ({
        ...one,
        actions: { upload: { href: `${home}/storage?signature=secret` }, verify: { href: `${home}/verify` } },
      }));
      return json({ transfer: 'basic', objects });
    }
    if (pathname === '/storage' && request.headers['content-length'] === '7') response.statusCode = 403;
    if (pathname === '/storage') return response.end();
    json({ success: true, commitOid: 'a'.repeat(40), commitUrl: `${home}/me/model/commit/a`, hookOutput: '' });
  });
});
server.listen(0, '127.0.0.1', () => process.send(server.address().port));
JS
cat > push.mjs <<'JS'
import assert from 'node:assert';
import { execFileSync, fork } from 'node:child_process';
import { once } from 'node:events';
import { commit } from '@huggingface/hub';

const server = fork('server.mjs', { stdio: ['ignore', 'pipe', 'inherit', 'ipc'] });
let seen = '';
server.stdout.on('data', (text) => (seen += text));
const [port] = await once(server, 'message');
const hubUrl = `http://127.0.0.1:${port}`;
const push = (text) =>
  commit({
    repo: 'me/model',
    title: 'weights',
    operations: [{ operation: 'addOrUpdate', path: 'weights.bin', content: new Blob([text]) }],
    accessToken: 'hf_x',
    hubUrl,
    useXet: false,
  });
const taken = () => {
  const lines = seen.trim().split('\n');
  seen = '';
  return lines;
};
await push('weights!');
const js = taken();
const message = await push('refused').catch((error) => error.message);
taken();
execFileSync('venv/bin/python', ['-c', `
from huggingface_hub import HfApi
HfApi().upload_file(repo_id="me/model", path_in_repo="weights.bin", path_or_fileobj=b"weights!")
`], { env: { ...process.env, HF_ENDPOINT: hubUrl, HF_TOKEN: 'hf_x', HF_HUB_DISABLE_XET: '1', HF_HUB_DISABLE_TELEMETRY: '1' }, stdio: ['ignore', 'ignore', 'inherit'] });
await new Promise((resolve) => setTimeout(resolve, 200));
const python = taken();
server.kill();
console.log('JavaScript', js.join(', '));
console.log('Python    ', python.join(', '));
console.log('refused   ', message);
assert.ok(python.includes('POST /verify'));
assert.ok(!js.includes('POST /verify') && js.includes('PUT /storage'));
assert.match(message, /signature=secret/);
JS
node push.mjs
