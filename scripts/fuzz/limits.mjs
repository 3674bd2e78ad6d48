// What no input may exceed.

/** Milliseconds that one input may take. */
export const MOST_MS = 5000;
/** Bytes of memory beyond the size of the input. */
export const MOST_MEMORY = 256 * 2 ** 20;
/** V8 gives up above this, long before the machine does; in MiB. */
export const HEAP_MIB = 320;
