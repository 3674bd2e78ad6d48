// Two machines, as far as one has them: network namespaces with addresses, host names and /etc/hosts of their own, between which there is
// a cable (veth). Only root may make them.
import { spawnSync } from 'node:child_process';
import { mkdirSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import t, { type Test } from 'tap';

import type { Options } from '../fixtures/cli.js';
import { startRank, train, weights, type RankOutcome } from '../fixtures/together.js';
import { makeToy } from '../fixtures/toy.js';

const folder = t.testdir();
makeToy(folder, { train: 333, test: 101 });

const PORT = 29_500;
const SHORT = { 'max-steps': '12', 'eval-strategy': 'no' } satisfies Options;
const names = ['a', 'b'].map((letter) => `bertune-${process.pid}-${letter}`);

function ip(...args: string[]): boolean {
  return spawnSync('ip', args).status === 0;
}

/** Host 0 is 10.99.1.1 and host 1 10.99.1.2; both have a second network, which leads nowhere. */
function connectHosts(): boolean {
  const [first = '', second = ''] = names;
  return (
    names.every((name) => ip('netns', 'add', name)) &&
    ip('link', 'add', 'eth1', 'netns', first, 'type', 'veth', 'peer', 'name', 'eth1', 'netns', second) &&
    names.every(
      (name, i) =>
        ip('-n', name, 'link', 'set', 'lo', 'up') &&
        ip('-n', name, 'addr', 'add', `10.99.1.${i + 1}/24`, 'dev', 'eth1') &&
        ip('-n', name, 'link', 'set', 'eth1', 'up') &&
        ip('-n', name, 'link', 'add', 'other', 'type', 'veth', 'peer', 'name', 'nowhere') &&
        ip('-n', name, 'addr', 'add', `10.99.${i + 2}.1/24`, 'dev', 'other') &&
        ['other', 'nowhere'].every((end) => ip('-n', name, 'link', 'set', end, 'up')),
    ) &&
    spawnSync('unshare', ['--uts', '--mount', 'true']).status === 0
  );
}

t.teardown(() => names.forEach((name) => ip('netns', 'delete', name)));
const skip = connectHosts() ? false : 'no network namespaces can be made here';

/** A program to start another one with, on a host whose /etc/hosts is this. */
function onHost(host: number, hosts: string): string[] {
  const file = join(folder, `hosts-${host}`);
  writeFileSync(file, hosts);
  const script = `hostname host-${host} && mount --bind ${file} /etc/hosts && exec "$@"`;
  return ['ip', 'netns', 'exec', names[host] ?? '', 'unshare', '--uts', '--mount', 'sh', '-c', script, 'sh'];
}

const KNOWN = '127.0.0.1 localhost\n10.99.1.1 host-0\n10.99.1.2 host-1\n';
/** As Debian's installer writes it: the name of the machine itself is loopback. */
const debian = (host: number): string => KNOWN.replace(`10.99.1.${host + 1}`, '127.0.1.1');

async function trainOnBoth(
  output: string,
  hosts: (host: number) => string,
  env: (host: number) => Record<string, string> = () => ({}),
): Promise<RankOutcome[]> {
  const runs = [0, 1].map((rank) =>
    startRank(output, { rank, size: 2, port: PORT, folder }, SHORT, {
      env: { MASTER_ADDR: 'host-0', ...env(rank) },
      wrapper: onHost(rank, hosts(rank)),
    }),
  );
  return Promise.all(runs.map(({ outcome }) => outcome));
}

function requireTrained(t: Test, output: string, ends: readonly RankOutcome[]): void {
  t.same(
    ends.map(({ code, lines }) => [code, lines]),
    [0, 1].map(() => [0, []]),
  );
  t.same(
    weights(join(folder, output)),
    weights(join(folder, 'here')),
    'the bits of a training on one machine',
  );
}

await t.test('two hosts', { skip, timeout: 0 }, async (t) => {
  mkdirSync(join(folder, 'hub'), { recursive: true });
  await train(folder, 'here', 2, SHORT);
  const ends = await trainOnBoth('known', () => KNOWN);
  requireTrained(t, 'known', ends);
  t.match(ends[0]?.stderr, /talk without authentication or encryption: close port 29500 of host-0/);

  // No name of the other one: addresses are enough.
  const unnamed = await trainOnBoth(
    'unnamed',
    () => '127.0.0.1 localhost\n',
    () => ({ MASTER_ADDR: '10.99.1.1' }),
  );
  requireTrained(t, 'unnamed', unnamed);
});

await t.test('hosts whose own names are loopback', { skip, timeout: 0 }, async (t) => {
  const ends = await trainOnBoth('loopback', debian);
  for (const { code, lines } of ends) {
    t.equal(code, 1);
    t.match(lines, [
      /^bertune: Rank 0 cannot be reached by those on other machines: on host-0 MASTER_ADDR host-0 is 127\.0\.\d\.1; set GLOO_SOCKET_IFNAME there to the network interface that leads to them \(eth1, other\)$/,
    ]);
  }
  const chosen = await trainOnBoth('chosen', debian, () => ({ GLOO_SOCKET_IFNAME: 'eth1' }));
  requireTrained(t, 'chosen', chosen);

  for (const name of names) ip('-n', name, 'link', 'delete', 'other');
  requireTrained(t, 'only', await trainOnBoth('only', debian));
});
