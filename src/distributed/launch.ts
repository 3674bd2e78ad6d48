// `--nproc N`: starts N processes of the same command on this machine, with the variables that torchrun would give them, and ends
// them all when one fails.
import { spawn, type ChildProcess } from 'node:child_process';
import { createServer } from 'node:net';
import { constants } from 'node:os';

/** A variable of the processes that this launcher starts: their number. */
export const OF_LAUNCHER = 'BERTUNE_NPROC';

/** Milliseconds for the other processes to end by themselves, with a line that says why, before they are killed. */
const GRACE = 15_000;

/**
 * Runs a command as several processes.
 *
 * @param argv what follows node: the script and its arguments
 * @param log is told of processes that have to be killed
 * @returns the exit code of the first process where it failed by itself, else that of the first to fail, or 0
 */
export async function launch(
  argv: readonly string[],
  processes: number,
  log: (line: string) => void,
): Promise<number> {
  const port = await freePort();
  const children = Array.from({ length: processes }, (_, rank) =>
    spawn(process.execPath, [...process.execArgv, ...argv], {
      // Of all processes the first alone reads and writes for the person; the others say why they end.
      stdio: rank === 0 ? 'inherit' : ['ignore', 'ignore', 'inherit'],
      env: {
        ...process.env,
        RANK: String(rank),
        LOCAL_RANK: String(rank),
        WORLD_SIZE: String(processes),
        LOCAL_WORLD_SIZE: String(processes),
        MASTER_ADDR: '127.0.0.1',
        MASTER_PORT: String(port),
        [OF_LAUNCHER]: String(processes),
      },
    }),
  );
  const pass = (signal: NodeJS.Signals): void => {
    for (const child of children) child.kill(signal);
  };
  process.on('SIGINT', pass).on('SIGTERM', pass);
  let firstFailed: number | undefined;
  let timer: NodeJS.Timeout | undefined;
  const codes = await Promise.all(
    children.map(async (child, rank) => {
      const code = await exitCode(child);
      if (code !== 0) firstFailed ??= rank;
      // Without the first, or with one less, none has anything left to do; but one that was stopped does not end by itself.
      if (code !== 0 || rank === 0)
        timer ??= setTimeout(() => {
          log(
            `Rank ${rank} ended with exit code ${code}; the others did not end within ${GRACE / 1000} s and are killed`,
          );
          pass('SIGKILL');
        }, GRACE);
      return code;
    }),
  );
  clearTimeout(timer);
  process.off('SIGINT', pass).off('SIGTERM', pass);
  const failed = codes.filter((code) => code !== 0);
  // The others had no need of it any more, and so have not said that it is gone.
  const signal = children[firstFailed ?? 0]?.signalCode;
  if (failed.length === 1 && typeof signal === 'string')
    process.stderr.write(`bertune: The process of rank ${firstFailed} was ended by ${signal}\n`);
  const [main = 0] = codes;
  return main !== 0 && main < 128 ? main : (codes[firstFailed ?? 0] ?? 0);
}

/** As a shell gives it: 128 and the signal's number for a process that a signal ended. */
function exitCode(child: ChildProcess): Promise<number> {
  return new Promise((resolve) => {
    child.once('error', () => resolve(1));
    child.once('exit', (code, signal) =>
      resolve(code ?? 128 + (signal === null ? 0 : constants.signals[signal])),
    );
  });
}

/** A port of loopback where nobody listens. */
export function freePort(): Promise<number> {
  return new Promise((resolve, reject) => {
    const server = createServer().once('error', reject);
    server.listen(0, '127.0.0.1', () => {
      const address = server.address();
      const port = typeof address === 'object' && address !== null ? address.port : 0;
      server.close(() => resolve(port));
    });
  });
}
