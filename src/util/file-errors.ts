// What the operating system's error codes mean to a person, for files read and files written.

import { messageOf, RunError, UsageError } from './errors.js';

const READ_FAULTS = new Map([
  ['ENOENT', 'there is no such file or folder'],
  ['ENOTDIR', 'a part of this path is a file, not a folder'],
  ['EISDIR', 'it is a folder, not a file; name a file in it'],
  ['EACCES', 'no permission to read it'],
  ['EPERM', 'no permission to read it'],
  ['ELOOP', 'its symbolic links lead in a circle; name the file or folder that is meant'],
  ['ENAMETOOLONG', 'the name is too long'],
]);

const WRITE_FAULTS = new Map([
  ['ENOSPC', 'the disk is full; free some space or choose another folder'],
  ['EDQUOT', 'your disk quota is used up; free some space or choose another folder'],
  ['EACCES', 'no permission; choose a folder that you may write to'],
  ['EPERM', 'no permission; choose a folder that you may write to'],
  ['EROFS', 'the file system is read-only; choose another folder'],
  ['ENOTDIR', 'a part of this path is a file, not a folder; choose another path'],
  ['EEXIST', 'a file is in the way; choose another path or move it'],
  ['EISDIR', 'a folder is in the way; choose another path or move it'],
  ['ENOENT', 'no folder can be made there; choose another path'],
  ['ENAMETOOLONG', 'the name is too long; choose a shorter one'],
]);

/**
 * The error to throw when `path` could not be read: a UsageError where the caller named a file that cannot be
 * used, a RunError where the system failed. Errors without a system code are returned as they are.
 */
export function readError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  const fault = readFault(error);
  if (fault === undefined)
    return new RunError(`Could not read ${path}: ${messageOf(error)}`, { cause: error });
  return new UsageError(`Could not read ${path}: ${fault}`, { cause: error });
}

/** What is wrong with a file that the caller named, as far as its error shows; undefined when the system failed. */
export function readFault(error: unknown): string | undefined {
  return READ_FAULTS.get(systemCode(error) ?? '');
}

/**
 * The error to throw when `path` could not be written: a RunError with the remedy in its one line. Errors
 * without a system code are returned as they are.
 */
export function writeError(error: unknown, path: string): unknown {
  const code = systemCode(error);
  if (code === undefined) return error;
  return new RunError(`Could not write ${path}: ${WRITE_FAULTS.get(code) ?? messageOf(error)}`, {
    cause: error,
  });
}

/** The code of a failed system call, e.g. `ENOENT`; undefined for any other error. */
export function systemCode(error: unknown): string | undefined {
  if (!(error instanceof Error) || !('code' in error) || !('syscall' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}
