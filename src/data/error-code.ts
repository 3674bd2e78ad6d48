// The `code` of a system or zlib error.

/** E.g. `ENOENT` or `Z_BUF_ERROR`; empty when there is none. */
export function errorCode(error: unknown): string {
  return error instanceof Error && 'code' in error ? String(error.code) : '';
}
