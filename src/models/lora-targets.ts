// Which linear layers get an adapter, from PEFT's target_modules and back.
import { UsageError } from '../util/errors.js';
import { nearestName } from '../util/nearest.js';
import { nameMatcher } from './tensor-patterns.js';
import type { BertConfig } from './config.js';
import { parameterShapes } from './parameters.js';

/** PEFT's for BERT. */
export const DEFAULT_TARGETS = ['query', 'value'];

export const POOLER = 'bert.pooler.dense';

/** The linear layers of an encoder layer, and the pooler's. */
const PARTS = [
  'query',
  'key',
  'value',
  'attention.output.dense',
  'intermediate.dense',
  'output.dense',
  'pooler.dense',
];

/** All layers that can have an adapter, in the model's order: PEFT's `all-linear`. */
export function adaptableLinears(config: BertConfig): string[] {
  return [...parameterShapes(config)]
    .filter(([name, shape]) => /^bert\.(encoder|pooler)\./.test(name) && shape.length === 2)
    .map(([name]) => name.replace(/\.weight$/, ''));
}

/**
 * The layers that targets name: the end of a name (`query`), a pattern (`bert.encoder.layer.{6..11}.*`), a module that
 * they are in, or `all-linear`.
 *
 * @throws UsageError for a target that matches nothing, naming what is near
 */
export function targetedModules(config: BertConfig, targets: readonly string[]): string[] {
  const all = adaptableLinears(config);
  const found = new Set(targets.flatMap((target) => matching(target, all)));
  return all.filter((name) => found.has(name));
}

function matching(target: string, all: readonly string[]): readonly string[] {
  if (target === 'all-linear') return all;
  const isMatch = nameMatcher([target, `*.${target}`, `${target}.*`]);
  const found = all.filter((name) => isMatch(name));
  if (found.length > 0) return found;
  const nearest = nearestName(target, PARTS);
  const hint = nearest === undefined ? '' : ` (did you mean ${nearest}?)`;
  throw new UsageError(
    `The LoRA target ${JSON.stringify(target)} matches no linear layer of encoder or pooler${hint}; there are ` +
      `${PARTS.join(', ')}, and all-linear for all of them`,
  );
}

/** PEFT's target_modules that mean exactly these layers: ends of names where they do, else the full names. */
export function targetModulesOf(config: BertConfig, modules: readonly string[]): string[] {
  const parts = PARTS.filter((part) => modules.some((name) => isEndOf(name, part)));
  const meant = adaptableLinears(config).filter((name) => parts.some((part) => isEndOf(name, part)));
  return meant.length === modules.length ? parts : [...modules];
}

function isEndOf(name: string, part: string): boolean {
  return name.endsWith(`.${part}`);
}
