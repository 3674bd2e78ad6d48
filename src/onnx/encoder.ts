// The graph of a model: what native/model/ computes for packed sequences, here for padded ones with a mask, of ONNX's standard
// operators. onnxruntime fuses GELU and the attention of these forms by itself; its own fused operators gain nothing on CPUs and
// do not run on WebGPU.
import { ELEMENTS, type OnnxValue } from '../formats/onnx.js';
import type {
  Activation,
  EncoderSpec,
  HeadStage,
  LayerSpec,
  RelativeBiasSpec,
  SessionSpec,
} from '../native/spec.js';
import { relativePositions, relativeScores, type RelativePositions } from './disentangled.js';
import { GraphBuilder, type ModelGraph, type Value } from './graph.js';
import { OPSET } from './settings.js';

/** Added to the scores of padding; a row of nothing else stays finite. */
const LOWEST = -3.4028234663852886e38;

const AXES = ['batch_size', 'sequence_length'] as const;
const IDS = 'input_ids';
const MASK = 'attention_mask';
const TYPES = 'token_type_ids';
const LOGITS = 'logits';
const WORDS = 'embeddings.words.weight';

/**
 * The token that ends every text, and the most tokens of one. transformers.js cuts longer texts behind their last token, so
 * that they lack it.
 */
export interface LastToken {
  readonly id: number;
  readonly maxLength: number;
}

/** Names and axes are those of transformers' own exporter and transformers.js. */
const inputNamed = (name: string): OnnxValue => ({ name, element: 'int64', shape: AXES });

/**
 * The graph of a model without dropout. It takes `input_ids` and `attention_mask`, int64 [batch_size, sequence_length], and
 * `token_type_ids` where the model tells them apart, padded on the right; and gives `logits`, float32 [batch_size, outputs], or
 * [batch_size, sequence_length, outputs] of a head that does not pool.
 *
 * @param spec without adapters: they are merged into the weights that are written
 * @param options.temperature that the logits are divided by, where one was tuned
 * @param options.opset the version of ONNX's operators, from 17 on
 * @param options.lastToken is put at the end of texts in batches of its length: correctly cut ones have it there
 */
export function modelGraph(
  { encoder, head, parameters }: Pick<SessionSpec, 'encoder' | 'head' | 'parameters'>,
  {
    temperature = 1,
    lastToken,
    opset = OPSET,
  }: { temperature?: number; lastToken?: LastToken | undefined; opset?: number } = {},
): ModelGraph {
  const graph = new GraphBuilder(parameters, { opset });
  const ids = lastToken === undefined ? IDS : endedIds(graph, lastToken);
  const hidden = encoderNodes(graph, encoder, ids, readsFirstOnly(head));
  const { logits, outputs, isPooled } = headNodes(graph, head, hidden, encoder.norm.eps);
  if (temperature === 1) graph.add('Identity', [logits], {}, LOGITS);
  else graph.add('Div', [logits, graph.scalar(temperature)], {}, LOGITS);
  const hasTypes = encoder.embeddings.tokenTypes > 1;
  const shape = isPooled ? [AXES[0], outputs] : [...AXES, outputs];
  return graph.finish([IDS, MASK, ...(hasTypes ? [TYPES] : [])].map(inputNamed), [
    { name: LOGITS, element: 'float32', shape },
  ]);
}

/** Whether the last layer need only compute the first token of each sequence. */
function readsFirstOnly([first]: readonly HeadStage[]): boolean {
  return first !== undefined && 'pool' in first && first.pool === 'first';
}

/**
 * The ids with the token that a cut text lost. In a batch of the longest length those that are as long may have been cut; in one
 * that is longer nobody cuts there.
 */
function endedIds(graph: GraphBuilder, { id, maxLength }: LastToken): Value {
  const length = sequenceLength(graph);
  const positions = positionNodes(graph);
  const isLast = graph.add('Equal', [positions, graph.index(maxLength - 1)]);
  const isLongest = graph.add('Equal', [length, graph.index(maxLength)]);
  const isToken = graph.add('Equal', [MASK, graph.index(1)]);
  const isEnd = graph.add('And', [graph.add('And', [isLast, isLongest]), isToken]);
  return graph.add('Where', [isEnd, graph.index(id), IDS]);
}

/** An int64 list of one. */
function sequenceLength(graph: GraphBuilder): Value {
  return graph.add('Shape', [IDS], { start: { int: 1 }, end: { int: 2 } });
}

/** Hidden states, [batch, sequence, hidden], or [batch, 1, hidden] of the first tokens. */
function encoderNodes(graph: GraphBuilder, encoder: EncoderSpec, ids: Value, isFirstOnly: boolean): Value {
  let x = embeddingNodes(graph, encoder.embeddings, ids);
  const bias = maskBias(graph);
  const rotations = new Map<number, Rotation>();
  const biases = new Map<string, Value>();
  const { relative } = encoder.attention;
  const distances =
    relative?.kind === 'disentangled' ? relativePositions(graph, relative, sequenceLength(graph)) : undefined;
  for (const [i, layer] of encoder.layers.entries()) {
    const isFirst = isFirstOnly && i === encoder.layers.length - 1;
    const { rotaryTheta: theta, window } = layer;
    if (theta !== null && !rotations.has(theta))
      rotations.set(theta, rotationNodes(graph, encoder.hidden / encoder.heads, theta));
    const key = `${window} ${isFirst}`;
    const own = biases.get(key) ?? layerBias(graph, bias, encoder.attention, window, isFirst);
    biases.set(key, own);
    const rotation = theta === null ? undefined : rotations.get(theta);
    x = layerNodes(graph, encoder, layer, x, { bias: own, rotation, distances, isFirstOnly: isFirst });
  }
  return encoder.finalNorm ? graph.norm('finalNorm', x, encoder.norm.eps) : x;
}

/** 0 for tokens and the lowest number for padding, [batch, 1, 1, sequence]. */
function maskBias(graph: GraphBuilder): Value {
  const mask = graph.add('Cast', [graph.add('Unsqueeze', [MASK, graph.list(1, 2)])], { to: { int: 1 } });
  return graph.add('Mul', [graph.add('Sub', [graph.scalar(1), mask]), graph.scalar(LOWEST)]);
}

/** The positions of a sequence, an int64 list. */
function positionNodes(graph: GraphBuilder): Value {
  const length = graph.add('Squeeze', [sequenceLength(graph), graph.list(0)]);
  return graph.add('Range', [graph.index(0), length, graph.index(1)]);
}

/** All that is added to scores of a layer, to be broadcast to [batch, heads, queries, sequence]. */
function layerBias(
  graph: GraphBuilder,
  bias: Value,
  { relative }: EncoderSpec['attention'],
  window: number | null,
  isFirstOnly: boolean,
): Value {
  const windowed = window === null ? bias : windowBias(graph, bias, window, isFirstOnly);
  if (relative?.kind !== 'bias') return windowed;
  return graph.add('Add', [windowed, relativeBias(graph, relative, isFirstOnly)]);
}

/** Key - query, int64 [queries, sequence]. */
function distanceNodes(graph: GraphBuilder, isFirstOnly: boolean): Value {
  const positions = positionNodes(graph);
  const queries = isFirstOnly ? graph.list(0) : positions;
  return graph.add('Sub', [
    graph.add('Unsqueeze', [positions, graph.list(0)]),
    graph.add('Unsqueeze', [queries, graph.list(1)]),
  ]);
}

/** The value of each distance's bucket, [heads, queries, sequence]. Distances beyond the greatest share its bucket. */
function relativeBias(graph: GraphBuilder, relative: RelativeBiasSpec, isFirstOnly: boolean): Value {
  const { maxDistance } = relative;
  const [least, greatest] = [graph.index(-maxDistance), graph.index(maxDistance)];
  const near = graph.add('Clip', [distanceNodes(graph, isFirstOnly), least, greatest]);
  const buckets = Array.from({ length: 2 * maxDistance + 1 }, (_, i) => bucketOf(i - maxDistance, relative));
  const bucket = graph.add('Gather', [graph.list(...buckets), graph.add('Add', [near, greatest])]);
  const values = graph.add('Gather', [graph.parameter('relativeBias.weight'), bucket]);
  return graph.add('Transpose', [values], { perm: { ints: [2, 0, 1] } });
}

/** As in T5. Source: transformers 5.18, `MPNetEncoder.relative_position_bucket`. */
function bucketOf(distance: number, { buckets, maxDistance }: RelativeBiasSpec): number {
  const ofSide = Math.floor(buckets / 2);
  const exact = Math.floor(ofSide / 2);
  const far = Math.abs(distance);
  const steps = (Math.log(far / exact) / Math.log(maxDistance / exact)) * (ofSide - exact);
  const bucket = far < exact ? far : Math.min(exact + Math.floor(steps), ofSide - 1);
  return distance > 0 ? ofSide + bucket : bucket;
}

/** The lowest number too where a key is farther from its query than the window, [batch, 1, queries, sequence]. */
function windowBias(graph: GraphBuilder, bias: Value, window: number, isFirstOnly: boolean): Value {
  const distance = graph.add('Abs', [distanceNodes(graph, isFirstOnly)]);
  const isFar = graph.add('Cast', [graph.add('Greater', [distance, graph.index(window)])], {
    to: { int: 1 },
  });
  return graph.add('Min', [bias, graph.add('Mul', [isFar, graph.scalar(LOWEST)])]);
}

/** Cosines and sines, [sequence, half of a head's width]. */
interface Rotation {
  readonly cosines: Value;
  readonly sines: Value;
}

/** In float64: float16 has no room for the angles of a file in it. */
function rotationNodes(graph: GraphBuilder, width: number, theta: number): Rotation {
  const half = width / 2;
  const frequencies = Array.from({ length: half }, (_, i) => theta ** (-i / half));
  const positions = graph.add('Cast', [positionNodes(graph)], { to: { int: ELEMENTS.float64.code } });
  const angles = graph.add('Mul', [
    graph.add('Unsqueeze', [positions, graph.list(1)]),
    graph.doubles(`frequencies_${theta}`, frequencies),
  ]);
  const of = (operator: string): Value =>
    graph.add('Cast', [graph.add(operator, [angles])], { to: { int: ELEMENTS.float32.code } });
  return { cosines: of('Cos'), sines: of('Sin') };
}

/** Turns the pairs of values i and i + half, [batch, heads, sequence, width]. */
function rotated(graph: GraphBuilder, x: Value, { cosines, sines }: Rotation, half: number): Value {
  const part = (from: number, to: number): Value =>
    graph.add('Slice', [x, graph.list(from), graph.list(to), graph.list(3)]);
  const [a, b] = [part(0, half), part(half, 2 * half)];
  const times = (one: Value, other: Value): Value => graph.add('Mul', [one, other]);
  const real = graph.add('Sub', [times(a, cosines), times(b, sines)]);
  const imaginary = graph.add('Add', [times(b, cosines), times(a, sines)]);
  return graph.add('Concat', [real, imaginary], { axis: { int: 3 } });
}

function embeddingNodes(graph: GraphBuilder, spec: EncoderSpec['embeddings'], ids: Value): Value {
  const { positions, tokenTypes, norm, projection } = spec;
  let x = graph.add('Gather', [graph.parameter(WORDS), ids]);
  if (tokenTypes > 0) {
    const name = 'embeddings.types.weight';
    const types =
      tokenTypes > 1
        ? graph.add('Gather', [graph.parameter(name), TYPES])
        : graph.parameter(name, { firstRow: 0, rows: 1 });
    x = graph.add('Add', [x, types]);
  }
  if (positions !== null) {
    const first = graph.list(positions.first);
    const table = graph.parameter('embeddings.positions.weight');
    const end = graph.add('Add', [sequenceLength(graph), first]);
    x = graph.add('Add', [x, graph.add('Slice', [table, first, end, graph.list(0)])]);
  }
  if (norm !== null) x = graph.norm('embeddings.norm', x, norm.eps);
  return projection ? graph.linear('embeddings.projection', x) : x;
}

/** What attention reads beside its input. */
interface AttentionContext {
  readonly bias: Value;
  readonly rotation: Rotation | undefined;
  readonly distances: RelativePositions | undefined;
  readonly isFirstOnly: boolean;
}

function layerNodes(
  graph: GraphBuilder,
  encoder: EncoderSpec,
  { parameters: name, attentionNorm: hasAttentionNorm }: LayerSpec,
  x: Value,
  { bias, rotation, distances, isFirstOnly }: AttentionContext,
): Value {
  const { order, norm, mlp } = encoder;
  const first = (value: Value): Value =>
    isFirstOnly ? graph.add('Slice', [value, graph.list(0), graph.list(1), graph.list(1)]) : value;
  const attentionNorm = (value: Value): Value => graph.norm(`${name}.attentionNorm`, value, norm.eps);
  const mlpNorm = (value: Value): Value => graph.norm(`${name}.mlpNorm`, value, norm.eps);
  const attended = (input: Value): Value =>
    graph.linear(
      `${name}.attentionOutput`,
      attentionNodes(graph, encoder, name, {
        queries: first(input),
        keys: input,
        bias,
        rotation,
        distances,
        isFirstOnly,
      }),
    );
  const widened = (input: Value): Value => {
    if (!mlp.gated) return activationNodes(graph, mlp.activation, graph.linear(`${name}.mlpIn`, input));
    const [active, gate] = [0, mlp.width].map((firstRow) =>
      graph.linear(`${name}.mlpIn`, input, { firstRow, rows: mlp.width }),
    );
    return graph.add('Mul', [activationNodes(graph, mlp.activation, active ?? ''), gate ?? '']);
  };
  const expanded = (input: Value): Value => graph.linear(`${name}.mlpOut`, widened(input));
  if (order === 'pre') {
    const y = graph.add('Add', [attended(hasAttentionNorm ? attentionNorm(x) : x), first(x)]);
    return graph.add('Add', [expanded(mlpNorm(y)), y]);
  }
  const y = attentionNorm(graph.add('Add', [attended(x), first(x)]));
  return mlpNorm(graph.add('Add', [expanded(y), y]));
}

/** Attention of all heads, [batch, queries, hidden]. */
function attentionNodes(
  graph: GraphBuilder,
  encoder: EncoderSpec,
  name: string,
  {
    queries,
    keys,
    bias,
    rotation,
    distances,
    isFirstOnly,
  }: AttentionContext & { queries: Value; keys: Value },
): Value {
  const { hidden, heads } = encoder;
  const width = hidden / heads;
  const project = (part: number, x: Value, axes: readonly number[]): Value => {
    const projected = graph.linear(`${name}.queryKeyValue`, x, { firstRow: part * hidden, rows: hidden });
    const split = graph.add('Reshape', [projected, graph.list(0, 0, heads, width)]);
    return graph.add('Transpose', [split], { perm: { ints: axes } });
  };
  const unturned = project(0, queries, [0, 2, 1, 3]);
  // The first token is at position 0, where nothing turns.
  const query =
    rotation === undefined || isFirstOnly ? unturned : rotated(graph, unturned, rotation, width / 2);
  const key =
    rotation === undefined
      ? project(1, keys, [0, 2, 3, 1])
      : graph.add('Transpose', [rotated(graph, project(1, keys, [0, 2, 1, 3]), rotation, width / 2)], {
          perm: { ints: [0, 1, 3, 2] },
        });
  const value = project(2, keys, [0, 2, 1, 3]);
  const relative =
    distances === undefined
      ? []
      : relativeScores(graph, encoder, name, distances, { query, key, isFirstOnly });
  const products = [graph.add('MatMul', [query, key]), ...relative];
  const sum = products.reduce((one, other) => graph.add('Add', [one, other]));
  const scores = graph.add('Div', [sum, graph.scalar(Math.sqrt(width * products.length))]);
  const weights = graph.add('Softmax', [graph.add('Add', [scores, bias])], { axis: { int: -1 } });
  const context = graph.add('Transpose', [graph.add('MatMul', [weights, value])], {
    perm: { ints: [0, 2, 1, 3] },
  });
  return graph.add('Reshape', [context, graph.list(0, 0, hidden)]);
}

function headNodes(
  graph: GraphBuilder,
  stages: readonly HeadStage[],
  hidden: Value,
  eps: number,
): { logits: Value; outputs: number; isPooled: boolean } {
  let x = hidden;
  let outputs = 0;
  let isPooled = false;
  for (const stage of stages) {
    if ('pool' in stage) {
      isPooled = true;
      x =
        stage.pool === 'first'
          ? graph.add('Gather', [x, graph.index(0)], { axis: { int: 1 } })
          : mean(graph, x);
    } else if ('linear' in stage) {
      x = graph.linear(stage.linear, x);
      outputs = graph.rowsOf(`${stage.linear}.weight`);
    } else if ('vocabulary' in stage) {
      x = graph.vocabulary(stage.vocabulary, WORDS, x);
      outputs = graph.rowsOf(WORDS);
    } else if ('norm' in stage) x = graph.norm(stage.norm, x, eps);
    else if ('activation' in stage) x = activationNodes(graph, stage.activation, x);
  }
  return { logits: x, outputs, isPooled };
}

/** Of the tokens of each sequence. */
function mean(graph: GraphBuilder, x: Value): Value {
  const mask = graph.add('Cast', [graph.add('Unsqueeze', [MASK, graph.list(-1)])], { to: { int: 1 } });
  const sum = (value: Value): Value =>
    graph.add('ReduceSum', [value, graph.list(1)], { keepdims: { int: 0 } });
  return graph.add('Div', [sum(graph.add('Mul', [x, mask])), sum(mask)]);
}

function activationNodes(graph: GraphBuilder, activation: Activation, x: Value): Value {
  const times = (a: Value, b: Value): Value => graph.add('Mul', [a, b]);
  const half = (factor: Value): Value => {
    return times(times(x, graph.add('Add', [factor, graph.scalar(1)])), graph.scalar(0.5));
  };
  const makers: Readonly<Record<Activation, () => Value>> = {
    relu: () => graph.add('Relu', [x]),
    tanh: () => graph.add('Tanh', [x]),
    silu: () => times(x, graph.add('Sigmoid', [x])),
    // In this order onnxruntime recognises it.
    gelu: () => half(graph.add('Erf', [graph.add('Div', [x, graph.scalar(Math.SQRT2)])])),
    gelu_tanh: () => {
      const cube = times(times(times(x, x), x), graph.scalar(0.044715));
      const inner = times(graph.add('Add', [x, cube]), graph.scalar(Math.sqrt(2 / Math.PI)));
      return half(graph.add('Tanh', [inner]));
    },
  };
  return makers[activation]();
}
