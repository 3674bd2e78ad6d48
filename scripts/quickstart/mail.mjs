// What a person reads of a mail: its subject and its text, with MIME undone. No other header is looked at.

/**
 * @typedef {object} Part a mail, or a part of one
 * @property {Map<string, string>} headers by lower-case name; of several the first
 * @property {string} body one character a byte
 */

/**
 * @param {Uint8Array} bytes a mail as it was stored
 * @returns {{ subject: string, body: string }}
 */
export function readMail(bytes) {
  const part = splitPart(Buffer.from(bytes).toString('latin1'));
  return { subject: decodeHeader(part.headers.get('subject') ?? ''), body: textOf(part) };
}

/**
 * @param {string} source one character a byte
 * @returns {Part}
 */
function splitPart(source) {
  const text = source.replaceAll('\r\n', '\n').replace(/^\n/, '');
  const end = text.indexOf('\n\n');
  const head = end === -1 ? text : text.slice(0, end);
  /** @type {Map<string, string>} */
  const headers = new Map();
  for (const line of head.replace(/\n[ \t]+/g, ' ').split('\n')) {
    const [, name = '', value = ''] = /^([\w-]+):\s*(.*)$/.exec(line) ?? [];
    if (name !== '' && !headers.has(name.toLowerCase())) headers.set(name.toLowerCase(), value);
  }
  return { headers, body: end === -1 ? '' : text.slice(end + 2) };
}

/**
 * @param {Part} part
 * @returns {string} '' for pictures and other attachments
 */
function textOf({ headers, body }) {
  const header = headers.get('content-type') ?? 'text/plain';
  const type = header.split(';', 1)[0]?.trim().toLowerCase() ?? '';
  const boundary = /boundary="?([^";]+)"?/i.exec(header)?.[1];
  if (type.startsWith('multipart/') && boundary !== undefined) {
    const delimiter = `^--${boundary.trim().replace(/[\\^$.*+?()[\]{}|/]/g, '\\$&')}`;
    const [inside = ''] = body.split(new RegExp(`${delimiter}--`, 'm'), 1);
    const parts = inside
      .split(new RegExp(`${delimiter}[ \\t]*$`, 'm'))
      .slice(1)
      .map((part) => textOf(splitPart(part)));
    // Alternatives come from the plainest on.
    return type === 'multipart/alternative'
      ? (parts.find((part) => part.trim() !== '') ?? '')
      : parts.join('\n');
  }
  if (type === 'message/rfc822') return textOf(splitPart(body));
  if (type.includes('/') && !type.startsWith('text/')) return '';
  const bytes = decodeTransfer(body, headers.get('content-transfer-encoding') ?? '');
  const text = decodeCharset(bytes, /charset="?([^";\s]+)/i.exec(header)?.[1]);
  return type === 'text/html' ? htmlToText(text) : text;
}

/**
 * @param {string} body one character a byte
 * @param {string} encoding
 */
function decodeTransfer(body, encoding) {
  switch (encoding.trim().toLowerCase()) {
    case 'base64':
      return Buffer.from(body, 'base64');
    case 'quoted-printable':
      return decodeQuoted(body.replace(/=[ \t]*\n/g, ''));
    default:
      return Buffer.from(body, 'latin1');
  }
}

/** @param {string} text */
function decodeQuoted(text) {
  const decoded = text.replace(/=([0-9A-F]{2})/gi, (_, hex) => String.fromCharCode(Number.parseInt(hex, 16)));
  return Buffer.from(decoded, 'latin1');
}

/**
 * @param {Uint8Array} bytes
 * @param {string} [charset] as declared by the mail; in mails of 2002 often invalid
 */
function decodeCharset(bytes, charset = 'utf-8') {
  try {
    return new TextDecoder(charset, { fatal: true }).decode(bytes);
  } catch {
    return new TextDecoder('windows-1252').decode(bytes);
  }
}

/** @param {string} value a header with encoded words, as in RFC 2047 */
function decodeHeader(value) {
  return value
    .replace(/\?=\s+=\?/g, '?==?')
    .replace(/=\?([^?]+)\?([BQ])\?([^?]*)\?=/gi, (_, charset, kind, text) =>
      decodeCharset(
        kind.toUpperCase() === 'B' ? Buffer.from(text, 'base64') : decodeQuoted(text.replaceAll('_', ' ')),
        charset,
      ),
    );
}

const ENTITIES = new Map(
  Object.entries({ amp: '&', lt: '<', gt: '>', quot: '"', apos: "'", nbsp: ' ', copy: '©', reg: '®' }),
);

/** @param {string} html */
function htmlToText(html) {
  return html
    .replace(/<!--.*?-->|<(script|style|title)\b.*?<\/\1\s*>/gis, ' ')
    .replace(/<[^>]*>/g, ' ')
    .replace(/&#(\d{1,6});?/g, (_, code) => String.fromCodePoint(Number(code)))
    .replace(/&(\w+);?/g, (entity, name) => ENTITIES.get(name.toLowerCase()) ?? entity);
}
