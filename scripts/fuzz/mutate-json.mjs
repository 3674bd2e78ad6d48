// Mutates JSON by its structure: values, keys, nesting, duplicate keys, and sometimes the text itself.
import { mutateBytes } from './mutate-bytes.mjs';
import { KEYS, VALUES } from './edge-cases.mjs';
import { utf8 } from './format.mjs';

/** @typedef {import('./seeded-random.mjs').SeededRandom} SeededRandom */

/** @typedef {{ raw: string } | { items: Node[] } | { members: [key: string, value: Node][] }} Node a value of JSON; members may repeat */

/** How deep the nesting that is tried goes: 128 levels are read. */
const DEPTHS = [5, 100, 128, 129, 200];

/**
 * @param {Uint8Array} bytes
 * @param {SeededRandom} random
 * @returns {Uint8Array}
 */
export function mutateJson(bytes, random) {
  const tree = random.chance(0.1) ? null : parsed(bytes);
  if (tree === null) return mutateBytes(bytes, random);
  for (let left = 1 + random.below(3); left > 0; left--) change(tree, random);
  const text = written(tree);
  return utf8(random.chance(0.02) ? `\uFEFF${text}` : text);
}

/** @param {Node} tree @param {SeededRandom} random */
function change(tree, random) {
  const parents = parentsIn(tree);
  if (parents.length === 0) return;
  const parent = random.pick(parents);
  if ('members' in parent) changeMember(parent.members, parents, random);
  else if ('items' in parent) changeItem(parent.items, parents, random);
}

/** @param {[string, Node][]} members @param {Node[]} parents @param {SeededRandom} random */
function changeMember(members, parents, random) {
  const at = random.below(members.length);
  const [key, value] = members[at] ?? ['', { raw: 'null' }];
  const kind = random.below(7);
  if (kind === 0) members.splice(at, 1);
  else if (kind === 1)
    members.splice(random.below(members.length + 1), 0, [key, otherValue(value, parents, random)]);
  else if (kind === 2) members[at] = [random.pick(KEYS), value];
  else if (kind === 3) members.push([random.pick(KEYS), otherValue(value, parents, random)]);
  else members[at] = [key, otherValue(value, parents, random)];
}

/** @param {Node[]} items @param {Node[]} parents @param {SeededRandom} random */
function changeItem(items, parents, random) {
  const at = random.below(items.length);
  const value = items[at] ?? { raw: 'null' };
  const kind = random.below(5);
  if (kind === 0) items.splice(at, 1);
  else if (kind === 1) items.splice(at, 0, value);
  else items[at] = otherValue(value, parents, random);
}

/** @param {Node} value @param {Node[]} parents @param {SeededRandom} random @returns {Node} */
function otherValue(value, parents, random) {
  const kind = random.below(20);
  if (kind === 0) return { raw: nested(written(value), random) };
  if (kind === 1) return structuredClone(random.pick(parents));
  if (kind === 2 && 'raw' in value) return { raw: JSON.stringify(value.raw) };
  if (kind <= 5 && 'raw' in value && Number.isFinite(Number(value.raw)))
    return { raw: String(Number(value.raw) + random.pick([-1, 1, 0.5, 1000])) };
  return { raw: random.pick(VALUES) };
}

/** @param {string} text @param {SeededRandom} random */
function nested(text, random) {
  const depth = random.pick(DEPTHS);
  return random.chance(0.5)
    ? `${'['.repeat(depth)}${text}${']'.repeat(depth)}`
    : `${'{"a":'.repeat(depth)}${text}${'}'.repeat(depth)}`;
}

/** Every object and list in which there is something. @param {Node} node @returns {Node[]} */
function parentsIn(node) {
  if ('raw' in node) return [];
  const below = 'items' in node ? node.items : node.members.map(([, value]) => value);
  return below.length === 0 ? [] : [node, ...below.flatMap(parentsIn)];
}

/** @param {Uint8Array} bytes @returns {Node | null} */
function parsed(bytes) {
  try {
    return nodeOf(JSON.parse(Buffer.from(bytes).toString()), 0);
  } catch {
    return null;
  }
}

/** @param {unknown} value @param {number} depth @returns {Node} */
function nodeOf(value, depth) {
  if (typeof value !== 'object' || value === null || depth > 20)
    return { raw: depth > 20 ? '0' : JSON.stringify(value) };
  if (Array.isArray(value)) return { items: value.map((item) => nodeOf(item, depth + 1)) };
  return { members: Object.entries(value).map(([key, item]) => [key, nodeOf(item, depth + 1)]) };
}

/** @param {Node} node @returns {string} */
function written(node) {
  if ('raw' in node) return node.raw;
  if ('items' in node) return `[${node.items.map(written).join(',')}]`;
  return `{${node.members.map(([key, value]) => `${JSON.stringify(key)}:${written(value)}`).join(',')}}`;
}
