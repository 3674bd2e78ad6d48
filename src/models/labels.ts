// The label map of a config: id2label, label2id and num_labels, which repeat one another.

import { UsageError } from '../util/errors.js';

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
 * Reads the label fields of a config. Without id2label there are num_labels (default 2) unnamed classes. An
 * id2label decides over a label2id that contradicts it, which is common in configs edited by hand.
 *
 * @param where the file, for messages
 * @throws UsageError when id2label has gaps or a name twice, or contradicts num_labels
 */
export function parseLabels(raw: RawLabels, where: string): { labels: Labels; warnings: string[] } {
  const names = raw.id2label ? namesById(raw.id2label, where) : defaultLabels(raw.num_labels ?? 2);
  if (raw.num_labels !== undefined && raw.num_labels !== names.length) {
    throw new UsageError(
      `num_labels is ${raw.num_labels} but id2label has ${names.length} classes in ${where}; correct one of them`,
    );
  }
  const labels = labelsOf(names);
  if (labels.label2id.size < names.length) {
    throw new UsageError(`id2label gives one name to two ids in ${where}; class names must differ`);
  }
  const reverse = Object.entries(raw.label2id ?? {});
  const contradicts = reverse.some(([name, id]) => labels.label2id.get(name) !== id);
  const warnings = contradicts ? [`label2id does not agree with id2label in ${where}; id2label is used`] : [];
  return { labels, warnings };
}

function namesById(id2label: Readonly<Record<string, string>>, where: string): string[] {
  const count = Object.keys(id2label).length;
  return Array.from({ length: count }, (_, id) => {
    const name = id2label[id];
    if (name === undefined)
      throw new UsageError(`id2label has ${count} classes but none for id ${id} in ${where}`);
    return name;
  });
}
