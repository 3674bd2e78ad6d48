// The access token must not show, even where the hub puts it into what it answers: it was sent the token, after all.
import { messageOf, RunError, UsageError } from '../util/errors.js';
import { createProgress, type DownloadProgress } from './progress.js';
import type { HubSettings } from './settings.js';

/** Shorter tokens are words (`anonymous`) that some mirrors take, and that names of files may well contain. */
const SHORTEST_SECRET = 12;

/** Whether a name that came from the hub has the token in it. */
export function showsToken(text: string, settings: HubSettings): boolean {
  return tokenPattern(settings)?.test(text) ?? false;
}

/** The token wherever it stands, in capitals or not, since addresses are shown in small letters. */
function tokenPattern({ token }: HubSettings): RegExp | null {
  if (token === null || token.length < SHORTEST_SECRET) return null;
  return new RegExp(token.replaceAll(/[^\w]/g, String.raw`\$&`), 'gi');
}

/**
 * Runs a task of which neither lines of progress nor errors show the token.
 *
 * @param sink receives the lines; default: stderr
 */
export async function concealingToken<T>(
  settings: HubSettings,
  sink: ((line: string) => void) | undefined,
  task: (progress: DownloadProgress) => Promise<T>,
): Promise<T> {
  const progress = createProgress(sink, settings.quiet);
  const conceal = (text: string): string => {
    const secret = tokenPattern(settings);
    return secret === null ? text : text.replaceAll(secret, '***');
  };
  try {
    return await task({
      note: (line) => progress.note(conceal(line)),
      report: (name, done, total) => progress.report(conceal(name), done, total),
    });
  } catch (error) {
    const message = messageOf(error);
    if (conceal(message) === message) throw error;
    // A new error, since the stack of the old one shows its message.
    throw error instanceof UsageError ? new UsageError(conceal(message)) : new RunError(conceal(message));
  }
}
