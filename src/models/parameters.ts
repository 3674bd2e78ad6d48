// The parameters of a model: names, shapes, initial values and decay, from the specs of its encoder and head. The only place that
// knows what an encoder consists of; the native side gets this list. Also which names a pattern of the options `freeze` and `loraTargetModules` matches.
import type { EncoderSpec, HeadStage, NormSpec, ParameterSpec } from '../native/spec.js';
import { encoderOf, headOf, type ModelConfig } from './config.js';
import type { EncoderNames, WeightInitialisation } from './family.js';
import { familyOf } from './registry.js';
import picomatch from 'picomatch';
import { UsageError } from '../util/errors.js';
import { nearestName } from '../util/text.js';

/** The parts of a model whose parameters are listed. */
export interface ModelParts {
  encoder: EncoderSpec;
  head: readonly HeadStage[];
  names: EncoderNames;
  /** Of the last linear layer. */
  outputs: number;
  weights: WeightInitialisation;
}

/** A linear layer as Hugging Face names it: some rows of a matrix. */
export interface LinearModule {
  /** As in Hugging Face, e.g. `bert.encoder.layer.0.attention.self.query`. */
  name: string;
  /** The canonical name of the whole. */
  linear: string;
  firstRow: number;
  rows: number;
  inputs: number;
}

/** Which no adapter can be given. */
const TABLES = new Set([
  ...['words', 'positions', 'types'].map((name) => `embeddings.${name}.weight`),
  'relativeBias.weight',
  'relative.weight',
]);

/**
 * All parameters in the order in which random initial values are drawn for them. Matrices start as the family draws them and
 * decay; biases, zeros, and norms, ones, do not: Trainer's groups. Source: `_init_weights` and `get_decay_parameter_names` of
 * transformers 5.18.
 */
export function parametersOf({ encoder, head, names, outputs, weights }: ModelParts): ParameterSpec[] {
  const list: ParameterSpec[] = [];
  const { prefix } = names;

  const vector = (name: string, external: readonly string[], rows: number, kind: 'zeros' | 'ones') =>
    list.push({
      name,
      shape: [rows],
      initialisation: { kind },
      decays: false,
      tensors: external.map((each) => ({ name: each, rows: rows / external.length })),
    });
  const matrix = (
    name: string,
    external: readonly string[],
    [rows, columns]: readonly [number, number],
    {
      std = weights.std,
      zeroRow = null,
      decays = true,
    }: { std?: number; zeroRow?: number | null; decays?: boolean } = {},
  ) =>
    list.push({
      name: `${name}.weight`,
      shape: [rows, columns],
      initialisation:
        weights.cut === null
          ? { kind: 'normal', std, ...(zeroRow !== null && weights.zeroPadding && { zeroRow }) }
          : { kind: 'truncated_normal', std, cut: weights.cut },
      decays,
      tensors: external.map((each) => ({ name: `${each}.weight`, rows: rows / external.length })),
    });
  const linear = (
    name: string,
    external: readonly string[],
    shape: readonly [number, number],
    { bias = true, std = weights.std }: { bias?: boolean; std?: number } = {},
  ) => {
    matrix(name, external, shape, { std });
    const biases = external.map((each) => `${each}.bias`);
    if (bias) vector(`${name}.bias`, biases, shape[0], 'zeros');
  };
  const norm = (name: string, external: string, width: number, { bias }: NormSpec) => {
    vector(`${name}.weight`, [`${external}.weight`], width, 'ones');
    if (bias) vector(`${name}.bias`, [`${external}.bias`], width, 'zeros');
  };
  const named = (name: string | undefined, part: string): string => {
    if (name === undefined) throw new Error(`The family has no name for ${part}`);
    return prefix + name;
  };

  const { hidden, embeddings, attention, mlp } = encoder;
  const { width, positions } = embeddings;
  matrix('embeddings.words', [named(names.words, 'words')], [embeddings.vocab, width], {
    zeroRow: embeddings.padId,
  });
  if (positions !== null) {
    // Where positions begin behind that of the padding token, its row starts as zeros too.
    const zeroRow = positions.first > 0 ? positions.first - 1 : null;
    const shape = [positions.rows, width] as const;
    matrix('embeddings.positions', [named(names.positions, 'positions')], shape, { zeroRow });
  }
  if (embeddings.tokenTypes > 0)
    matrix('embeddings.types', [named(names.types, 'token types')], [embeddings.tokenTypes, width]);
  if (embeddings.norm !== null)
    norm('embeddings.norm', named(names.embeddingNorm, 'the embedding norm'), width, embeddings.norm);
  if (embeddings.projection)
    linear('embeddings.projection', [named(names.projection, 'the projection')], [hidden, width]);

  const { relative } = attention;
  if (relative?.kind === 'bias')
    // Trainer takes it for a bias, by its name.
    matrix(
      'relativeBias',
      [named(names.relativeBias, 'the relative bias')],
      [relative.buckets, encoder.heads],
      {
        decays: false,
      },
    );
  if (relative?.kind === 'disentangled') {
    matrix('relative', [named(names.relative, 'relative positions')], [relative.rows, hidden]);
    if (relative.norm !== null)
      norm('relative.norm', named(names.relativeNorm, 'their norm'), hidden, relative.norm);
  }

  const layers = new Map(encoder.layers.map((each) => [each.parameters, each]));
  for (const [layer, { attentionNorm }] of layers) {
    const [, number = '', inner] = layer.split('.');
    const group = `${prefix}${names.layers}.${number}`;
    const outside = inner === undefined ? group : `${group}.${names.innerLayers ?? ''}.${inner}`;
    const [inside, within] = [(part: string) => `${layer}.${part}`, (name: string) => `${outside}.${name}`];
    const { bias } = attention;
    const std = weights.outputStd;
    linear(inside('queryKeyValue'), names.queryKeyValue.map(within), [3 * hidden, hidden], { bias });
    if (relative?.kind === 'disentangled' && !relative.shared)
      for (const [part, name] of [
        ['relativeKey', relative.keys && names.relativeKey],
        ['relativeQuery', relative.queries && names.relativeQuery],
      ] as const)
        if (name) linear(inside(part), [within(name)], [hidden, hidden], { bias });
    linear(inside('attentionOutput'), [within(names.attentionOutput)], [hidden, hidden], { bias, std });
    if (attentionNorm) norm(inside('attentionNorm'), within(names.attentionNorm), hidden, encoder.norm);
    const mlpRows = mlp.gated ? 2 * mlp.width : mlp.width;
    linear(inside('mlpIn'), [within(names.mlpIn)], [mlpRows, hidden], { bias: mlp.biasIn });
    linear(inside('mlpOut'), [within(names.mlpOut)], [hidden, mlp.width], { bias: mlp.biasOut, std });
    norm(inside('mlpNorm'), within(names.mlpNorm), hidden, encoder.norm);
  }
  if (encoder.finalNorm) norm('finalNorm', named(names.finalNorm, 'the final norm'), hidden, encoder.norm);

  const last = lastLinearOf(head);
  // The layer before a vocabulary is as wide as its embeddings.
  const inner = head.some((stage) => 'vocabulary' in stage) ? width : hidden;
  for (const stage of head) {
    if ('linear' in stage && stage.linear === last)
      linear(stage.linear, [stage.linear], [outputs, hidden], { std: weights.logitsStd });
    else if ('linear' in stage)
      linear(stage.linear, [stage.linear], [inner, hidden], {
        bias: stage.bias ?? true,
        std: weights.outputStd,
      });
    if ('norm' in stage) norm(stage.norm, stage.norm, inner, encoder.norm);
    if ('vocabulary' in stage && stage.bias !== false)
      vector(`${stage.vocabulary}.bias`, [`${stage.vocabulary}.bias`], embeddings.vocab, 'zeros');
  }
  return list;
}

/** The parameters of a classifier, without those of an adapter. */
export function modelParameters(config: ModelConfig): ParameterSpec[] {
  const family = familyOf(config.modelType);
  return parametersOf({
    encoder: encoderOf(config),
    head: headOf(config),
    names: family.names,
    outputs: config.numLabels,
    weights: family.initialisation(config) ?? sameEverywhere(config.initializerRange),
  });
}

/** The rule of all families but those that state their own. */
export function sameEverywhere(std: number): WeightInitialisation {
  return { std, outputStd: std, logitsStd: std, cut: null, zeroPadding: true };
}

/** Names and shapes of a classifier's tensors, as Hugging Face has them. */
export function parameterShapes(config: ModelConfig): Map<string, readonly number[]> {
  return tensorShapes(modelParameters(config));
}

/** The layer that gives the logits; none where the table of the word embeddings does. */
export function lastLinearOf(head: readonly HeadStage[]): string {
  if (head.some((stage) => 'vocabulary' in stage)) return '';
  return head.findLast((stage) => 'linear' in stage)?.linear ?? '';
}

/** Names and shapes of a model's tensors as Hugging Face has them, in the order of its named_parameters(). */
function tensorShapes(parameters: readonly ParameterSpec[]): Map<string, readonly number[]> {
  const layers = new Map<string, ParameterSpec[]>();
  for (const parameter of parameters) {
    const layer = parameter.name.replace(/\.\w+$/, '');
    layers.set(layer, [...(layers.get(layer) ?? []), parameter]);
  }
  const shapes = new Map<string, readonly number[]>();
  for (const ofLayer of layers.values())
    for (const part of (ofLayer[0]?.tensors ?? []).keys())
      for (const { shape, tensors } of ofLayer) {
        const { name = '', rows = 0 } = tensors[part] ?? {};
        shapes.set(name, [rows, ...shape.slice(1)]);
      }
  return shapes;
}

/** The linear layers, in the order of the list. */
export function linearModules(parameters: readonly ParameterSpec[]): LinearModule[] {
  return parameters.flatMap(({ name, shape: [, inputs], tensors }) => {
    if (inputs === undefined || TABLES.has(name)) return [];
    let firstRow = 0;
    return tensors.map((tensor) => {
      const module = {
        name: tensor.name.replace(/\.weight$/, ''),
        linear: name.replace(/\.weight$/, ''),
        firstRow,
        rows: tensor.rows,
        inputs,
      };
      firstRow += tensor.rows;
      return module;
    });
  });
}

const MOST_IN_RANGE = 1000;

/**
 * The names that a pattern matches: `*` is any text, `{0,1}` and `{0..5}` are alternatives, and a module stands for
 * all that is in it, e.g. `bert.embeddings`.
 *
 * @param option the option of the pattern, for the message
 * @throws UsageError for a pattern that matches nothing, naming what is near
 */
export function matchingNames(pattern: string, names: readonly string[], option: string): string[] {
  const isMatch = nameMatcher([pattern, `${pattern}.*`]);
  const found = names.filter((name) => isMatch(name));
  if (found.length > 0) return found;
  const modules = new Set(names.flatMap(modulesOf));
  const nearest = nearestName(pattern.replace(/[.*]+$/, ''), [...modules]);
  const hint =
    nearest === undefined
      ? `; there are ${partsOf(names).join(', ')} and what is in them`
      : ` (did you mean ${nearest}${pattern.endsWith('*') && !names.includes(nearest) ? '.*' : ''}?)`;
  throw new UsageError(`${option} ${JSON.stringify(pattern)} matches no tensor of the model${hint}`);
}

/** Whether one of the patterns matches a whole name. */
export function nameMatcher(patterns: string[]): (name: string) => boolean {
  return picomatch(patterns, { expandRange, dot: true });
}

/** The modules at the top, e.g. `bert.embeddings`, `bert.encoder` and `classifier`. */
function partsOf(names: readonly string[]): string[] {
  const parts = names.map((name) => name.split('.').slice(0, -1).slice(0, 2).join('.'));
  return [...new Set(parts)];
}

/** `a.b.c` is in `a`, `a.b` and itself. */
function modulesOf(name: string): string[] {
  const parts = name.split('.');
  return parts.map((_, i) => parts.slice(0, i + 1).join('.'));
}

/** `{0..11}` by numbers, not by digits. */
function expandRange(from: string, to: string): string {
  const [first, last] = [Number(from), Number(to)];
  if (!Number.isSafeInteger(first) || !(last >= first && last - first < MOST_IN_RANGE))
    return `(${from}|${to})`;
  return `(${Array.from({ length: last - first + 1 }, (_, i) => first + i).join('|')})`;
}
