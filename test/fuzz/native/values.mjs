// What a caller could hand over in place of what is wanted: values of all types, typed arrays in memory of all kinds,
// and objects whose getters throw or do mischief.

/** @typedef {import('../../../scripts/fuzz/seeded-random.mjs').SeededRandom} SeededRandom */
/** @typedef {Int32Array | Float32Array | Uint8Array} Numbers */

const KINDS = [
  Int8Array,
  Uint8Array,
  Uint8ClampedArray,
  Int16Array,
  Uint16Array,
  Int32Array,
  Uint32Array,
  Float32Array,
  Float64Array,
];

// No number is a size that a machine could have the memory for, and yet would take long to fill.
const NUMBERS = [
  0,
  -0,
  1,
  -1,
  2,
  3,
  1.5,
  0.1,
  NaN,
  Infinity,
  -Infinity,
  5e-324,
  1e-310,
  1e308,
  -1e308,
  2 ** 31 - 1,
  2 ** 31,
  -(2 ** 31),
  2 ** 32,
  2 ** 53 - 1,
  2 ** 53,
  -(2 ** 53),
  2 ** 63,
  -(2 ** 63),
  2 ** 64,
];

const TEXTS = [
  '',
  'weight',
  'gradient',
  'exp_avg',
  'step',
  'F32',
  'cpu',
  'two\nlines',
  'carriage\rreturn',
  'a\u2028separator',
  'a NUL\0in it',
  'a lone \ud800 surrogate',
  '\u{1f600}'.repeat(60),
  'x'.repeat(100_000),
  '__proto__',
  '%s%n%x',
];

/** Thrown by getters: each is what a caller's own code may throw. */
const THROWN = [
  () => new Error('thrown by a getter'),
  () => new RangeError('two\nlines'),
  () => 42,
  () => null,
  () => undefined,
  () => 'a string',
  () => Symbol('thrown'),
  () => Object.create(null),
  () => ({
    toString() {
      throw new Error('no text either');
    },
  }),
  () =>
    Object.defineProperty(new Error('x'), 'message', {
      get: () => {
        throw new Error('no message either');
      },
    }),
];

const ours = new WeakSet();

/**
 * @param {SeededRandom} random
 * @returns {unknown}
 */
function thrown(random) {
  const value = random.pick(THROWN)();
  if (typeof value === 'object' && value !== null) ours.add(value);
  return value;
}

/**
 * Whether a getter of ours threw it.
 *
 * @param {object} error
 */
export function isOurs(error) {
  return ours.has(error);
}

/** @param {SeededRandom} random */
export function oddNumber(random) {
  return random.pick(NUMBERS);
}

/**
 * Any value at all.
 *
 * @param {SeededRandom} random
 * @param {number} [depth] how deep objects may still be nested
 * @returns {unknown}
 */
export function oddValue(random, depth = 2) {
  const inner = () => (depth > 0 ? oddValue(random, depth - 1) : undefined);
  return random.pick([
    () => random.pick(NUMBERS),
    () => random.pick(TEXTS),
    () => random.pick([undefined, null, true, false, 1n, -(2n ** 64n), Symbol('odd'), Symbol.iterator]),
    () => random.pick([() => 1, Promise, Map, Math, JSON, globalThis]),
    () => random.pick([new Date(NaN), /x/, new Map(), new Set([1]), Promise.resolve(1), new Error('x')]),
    () => Array.from({ length: random.below(5) }, inner),
    () => Object.assign([], { length: random.pick([1, 2 ** 16, 2 ** 32 - 1]) }),
    () => ({ a: inner(), length: inner(), data: inner(), shape: inner(), name: inner() }),
    () => random.pick([Object.create(null), Object.freeze({}), Object.create({ dtype: 'F32' })]),
    () => throwing(random),
    () => proxies(random, inner()),
    () => circular(),
    () => memory(random, random.below(64)),
    () => new DataView(new ArrayBuffer(8)),
    () => housed(random, new (random.pick(KINDS))(random.below(80)).fill(random.below(3))),
    () => random.pick([new BigInt64Array(3), new BigUint64Array(0), new Float32Array(0)]),
    () => new Number(3),
    () => new String('weight'),
  ])();
}

/** @param {SeededRandom} random */
function throwing(random) {
  const handler = {
    get() {
      throw thrown(random);
    },
  };
  return new Proxy({}, handler);
}

/**
 * @param {SeededRandom} random
 * @param {unknown} target
 */
function proxies(random, target) {
  const object = typeof target === 'object' && target !== null ? target : [1, 2];
  const { proxy, revoke } = Proxy.revocable(object, {});
  if (random.chance(0.5)) revoke();
  return proxy;
}

function circular() {
  /** @type {Record<string, unknown>} */
  const object = {};
  object['self'] = object;
  return object;
}

/**
 * @param {SeededRandom} random
 * @param {number} bytes
 */
function memory(random, bytes) {
  return random.pick([
    () => new ArrayBuffer(bytes),
    () => new SharedArrayBuffer(bytes),
    () => resizable(bytes, bytes + 64),
    () => growable(bytes, bytes + 64),
    () => {
      const buffer = new ArrayBuffer(bytes);
      structuredClone(null, { transfer: [buffer] });
      return buffer;
    },
  ])();
}

/**
 * The constructors' options are newer than the types that the project compiles against.
 *
 * @param {number} bytes
 * @param {number} maxByteLength
 * @returns {ArrayBuffer & { resize(bytes: number): void }}
 */
export function resizable(bytes, maxByteLength) {
  return Reflect.construct(ArrayBuffer, [bytes, { maxByteLength }]);
}

/**
 * @param {number} bytes
 * @param {number} maxByteLength
 * @returns {SharedArrayBuffer & { grow(bytes: number): void }}
 */
export function growable(bytes, maxByteLength) {
  return Reflect.construct(SharedArrayBuffer, [bytes, { maxByteLength }]);
}

/**
 * The same numbers in memory of another kind: shared, with more before and behind, resizable, shrunk until nothing or
 * half is left, grown, or gone.
 *
 * @param {SeededRandom} random
 * @param {ArrayLike<number> & { constructor: Function, BYTES_PER_ELEMENT: number }} numbers
 * @returns {unknown}
 */
export function housed(random, numbers) {
  const bytes = numbers.length * numbers.BYTES_PER_ELEMENT;
  /** @type {(buffer: ArrayBufferLike, ...rest: number[]) => { set(values: ArrayLike<number>): void }} */
  const viewOf = (buffer, ...rest) => Reflect.construct(numbers.constructor, [buffer, ...rest]);
  /** @param {ArrayBufferLike} buffer @param {number[]} rest */
  const filled = (buffer, ...rest) => {
    const view = viewOf(buffer, ...rest);
    view.set(numbers);
    return view;
  };
  return random.pick([
    () => filled(new SharedArrayBuffer(bytes)),
    () => filled(new ArrayBuffer(bytes + 48), 16, numbers.length),
    () => filled(resizable(bytes, bytes + 64)),
    () => {
      const buffer = growable(bytes, bytes + 64);
      const view = filled(buffer);
      buffer.grow(bytes + 8);
      return view;
    },
    () => {
      const buffer = resizable(bytes + 16, bytes + 64);
      const view = random.chance(0.5) ? filled(buffer, 0, numbers.length) : filled(buffer);
      buffer.resize(random.pick([0, 4, bytes >> 1, bytes + 64]));
      return view;
    },
    () => {
      const buffer = new ArrayBuffer(bytes);
      const view = filled(buffer);
      structuredClone(null, { transfer: [buffer] });
      return view;
    },
  ])();
}

/**
 * An object with one property changed: another value, none, or a getter that throws or does something first.
 *
 * @param {SeededRandom} random
 * @param {object} object
 * @param {readonly (() => unknown)[]} mischief what a getter may do before it gives the value
 */
export function altered(random, object, mischief) {
  const copy = { ...object };
  const key = random.pick([...Object.keys(object), 'unknown']);
  const value = Reflect.get(object, key);
  const define = (/** @type {() => unknown} */ get) =>
    Object.defineProperty(copy, key, { get, enumerable: true, configurable: true });
  random.pick([
    () => Object.assign(copy, { [key]: oddValue(random) }),
    () => Object.assign(copy, { [key]: typeof value === 'number' ? oddNumber(random) : oddValue(random) }),
    () => Object.assign(copy, { [key]: ArrayBuffer.isView(value) ? changed(random, value) : undefined }),
    () => Reflect.deleteProperty(copy, key),
    () =>
      define(() => {
        throw thrown(random);
      }),
    () => {
      const act = random.pick(mischief);
      define(() => {
        act();
        return value;
      });
    },
    () =>
      define(() => {
        take(random.pick(Object.values(object)));
        return value;
      }),
  ])();
  return copy;
}

/**
 * A typed array in other memory, of another length, or with another number in it.
 *
 * @param {SeededRandom} random
 * @param {ArrayBufferView} view
 */
function changed(random, view) {
  if (!(view instanceof Int32Array || view instanceof Float32Array || view instanceof Uint8Array))
    return view;
  const place = random.below(view.length);
  return random.pick([
    () => housed(random, view),
    () => housed(random, view),
    () => view.slice(random.below(3)),
    () => view.slice(0, place),
    () => view.with(place, random.pick(NUMBERS)),
    () => view.with(place, random.below(2 ** 32) | 0),
  ])();
}

/**
 * Takes a typed array's memory away.
 *
 * @param {unknown} value
 */
function take(value) {
  if (ArrayBuffer.isView(value) && value.buffer instanceof ArrayBuffer && value.buffer.byteLength > 0)
    structuredClone(null, { transfer: [value.buffer] });
}
