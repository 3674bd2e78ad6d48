// Where the hub is, where its cache lies and who is asking: the environment variables of Python's huggingface_hub.
import { readFile } from 'node:fs/promises';
import { homedir } from 'node:os';
import { join } from 'node:path';
import { expected, UsageError } from '../util/errors.js';

/** The environment of one call, read once. */
export interface HubSettings {
  /** Address of the hub or of a mirror, without a trailing slash. */
  readonly endpoint: string;
  /** Folder that holds `models--org--name` and `datasets--org--name`. */
  readonly cacheDir: string;
  /** Access token; it is sent to the endpoint's own origin only and never printed. */
  readonly token: string | null;
  /** Seconds in which a download must bring something before it counts as stalled: HF_HUB_DOWNLOAD_TIMEOUT. */
  readonly stallSeconds: number;
  /** Seconds that an answer of the hub's API may take: HF_HUB_ETAG_TIMEOUT. */
  readonly answerSeconds: number;
  /** True when HF_HUB_OFFLINE or TRANSFORMERS_OFFLINE forbids any request. */
  readonly offline: boolean;
  /** True when a proxy is named in the environment but Node is not set to use it. */
  readonly unusedProxy: boolean;
  /** True when HF_HUB_DISABLE_PROGRESS_BARS asks for silence. */
  readonly quiet: boolean;
}

/**
 * Reads HF_ENDPOINT, HF_HUB_CACHE, HUGGINGFACE_HUB_CACHE, HF_HOME, XDG_CACHE_HOME, HF_TOKEN,
 * HUGGING_FACE_HUB_TOKEN, HF_TOKEN_PATH, HF_HUB_DOWNLOAD_TIMEOUT, HF_HUB_ETAG_TIMEOUT, HF_HUB_OFFLINE,
 * TRANSFORMERS_OFFLINE and HF_HUB_DISABLE_PROGRESS_BARS with the precedence of huggingface_hub/constants.py.
 *
 * @throws UsageError when HF_ENDPOINT is no http address, the token could not be sent in a header or a timeout is no
 *   number of seconds
 */
export async function hubSettings(env: NodeJS.ProcessEnv): Promise<HubSettings> {
  const home = env['HOME'] || homedir();
  const path = (value: string): string => value.replace(/^~(?=\/|$)/, home);
  const hfHome = path(env['HF_HOME'] || join(env['XDG_CACHE_HOME'] || join(home, '.cache'), 'huggingface'));
  const token = env['HF_TOKEN'] || env['HUGGING_FACE_HUB_TOKEN'];
  return {
    endpoint: endpointOf(env['HF_ENDPOINT'] || 'https://huggingface.co'),
    cacheDir: path(env['HF_HUB_CACHE'] || env['HUGGINGFACE_HUB_CACHE'] || join(hfHome, 'hub')),
    token: token
      ? cleanToken(token, 'HF_TOKEN')
      : await tokenFromFile(path(env['HF_TOKEN_PATH'] || join(hfHome, 'token'))),
    stallSeconds: seconds(env, 'HF_HUB_DOWNLOAD_TIMEOUT', 30),
    answerSeconds: seconds(env, 'HF_HUB_ETAG_TIMEOUT', 60),
    offline: isTrue(env['HF_HUB_OFFLINE'] || env['TRANSFORMERS_OFFLINE']),
    unusedProxy: Boolean(env['HTTPS_PROXY'] || env['https_proxy']) && !env['NODE_USE_ENV_PROXY'],
    quiet: isTrue(env['HF_HUB_DISABLE_PROGRESS_BARS']),
  };
}

function endpointOf(value: string): string {
  const url = URL.canParse(value) ? new URL(value) : null;
  if (url === null || !/^https?:$/.test(url.protocol) || url.username || url.password) {
    throw expected(
      'an http or https address without a user name',
      'HF_ENDPOINT',
      value.replace(/\/\/.*@/, '//'),
    );
  }
  return value.replace(/\/+$/, '');
}

async function tokenFromFile(path: string): Promise<string | null> {
  const text = await readFile(path, 'utf8').catch(() => '');
  return cleanToken(text, path);
}

function cleanToken(text: string, where: string): string | null {
  const token = text.replaceAll(/[\r\n]/g, '').trim();
  // Checked here because the error of fetch() would quote the header, and so the token.
  if (!/^[\x21-\x7e]*$/.test(token)) {
    throw new UsageError(`The token in ${where} holds a space or another character that no token has`);
  }
  return token || null;
}

function seconds(env: NodeJS.ProcessEnv, name: string, usual: number): number {
  const text = env[name]?.trim();
  if (!text) return usual;
  const value = Number(text);
  if (value >= 1 && value <= 86_400) return value;
  throw expected('seconds from 1 to 86400', name, text);
}

function isTrue(value: string | undefined): boolean {
  return /^(1|on|yes|true)$/i.test(value ?? '');
}
