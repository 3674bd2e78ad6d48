// The label map of a config: id2label, label2id and num_labels, which repeat one another.

import { UsageError } from '../util/errors.js';
import { quoted } from '../util/text.js';

/** The three label fields of a config, consistent with each other. */
export interface Labels {
  numLabels: number;
  /** The name of every class id, in order. */
  id2label: readonly string[];
  label2id: ReadonlyMap<string, number>;
}

/** The label fields of config.json as far as their types were checked. */
export interface RawLabels {
  num_labels?: number | undefined;
  id2label?: Readonly<Record<string, string>> | null | undefined;
  label2id?: Readonly<Record<string, unknown>> | null | undefined;
}

/** The names that transformers gives to classes without a name: LABEL_0, LABEL_1, ... */
export function defaultLabels(count: number): string[] {
  return Array.from({ length: count }, (_, id) => `LABEL_${id}`);
}

/** Whether the names are the ones that transformers generates, so that they do not describe the classes. */
export function areDefaultLabels(labels: readonly string[]): boolean {
  return labels.every((label, id) => label === `LABEL_${id}`);
}

/** The label fields for these class names; the position of a name is its id. */
export function labelsOf(names: readonly string[]): Labels {
  return { numLabels: names.length, id2label: names, label2id: new Map(names.map((name, id) => [name, id])) };
}

/**
 * Reads the label fields of a config as transformers 5.18 does, which takes what it can. Without id2label there are
 * num_labels (default 2) unnamed classes, and as well where the two contradict each other. Class ids are places in the
 * output of the model: other ids than 0, 1, ... only give the order of the names. An id2label decides over a label2id
 * that contradicts it, which is common in configs edited by hand.
 *
 * @param where the file, for messages
 * @throws UsageError when a key of id2label is no whole number
 */
export function parseLabels(raw: RawLabels, where: string): { labels: Labels; warnings: string[] } {
  const warnings: string[] = [];
  const named = raw.id2label ? namesById(raw.id2label, where, warnings) : null;
  const count = raw.num_labels ?? named?.length ?? 2;
  if (named !== null && named.length !== count)
    warnings.push(
      `num_labels is ${count} but id2label has ${named.length} classes in ${where}; as in transformers, there are ${count} classes without names`,
    );
  const labels = labelsOf(named?.length === count ? named : defaultLabels(count));
  const reverse = Object.entries(raw.label2id ?? {});
  if (warnings.length === 0 && reverse.some(([name, id]) => labels.label2id.get(name) !== id))
    warnings.push(`label2id does not agree with id2label in ${where}; id2label is used`);
  return { labels, warnings };
}

function namesById(id2label: Readonly<Record<string, string>>, where: string, warnings: string[]): string[] {
  const entries = Object.entries(id2label).map(([key, name]) => ({ id: wholeNumber(key, where), name }));
  const ordered = entries.toSorted((left, right) => left.id - right.id);
  const ids = ordered.map(({ id }) => id);
  if (ids.some((id, at) => id !== at))
    warnings.push(
      `id2label has the ids ${listed(ids)} in ${where}, and not 0 to ${ids.length - 1}: its names are taken in this order`,
    );
  return distinct(
    ordered.map(({ name }) => name),
    where,
    warnings,
  );
}

/** A class is known by its name: of equal names the later ones get a number. */
function distinct(names: readonly string[], where: string, warnings: string[]): string[] {
  const taken = new Set(names);
  const seen = new Set<string>();
  return names.map((name, id) => {
    if (!seen.has(name)) {
      seen.add(name);
      return name;
    }
    let other = name;
    for (let number = 2; taken.has(other); number++) other = `${name} (${number})`;
    taken.add(other);
    warnings.push(
      `id2label gives the name ${quoted(name)} twice in ${where}; class ${id} is called ${quoted(other)} here`,
    );
    return other;
  });
}

function wholeNumber(key: string, where: string): number {
  const id = Number(key);
  if (Number.isSafeInteger(id) && key.trim() !== '') return id;
  throw new UsageError(
    `id2label has the class id ${quoted(key)} in ${where}; ids are whole numbers: 0, 1, ...`,
  );
}

function listed(ids: readonly number[]): string {
  return ids.length > 5 ? `${ids.slice(0, 3).join(', ')} ... ${ids.at(-1)}` : ids.join(', ');
}
