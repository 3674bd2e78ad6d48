// The files that transformers.js has for a model, by its names of their dtypes: the float32 graph, and what is made of it in fewer
// bits. All but the 4-bit product are ONNX's own operators.
import { ELEMENTS, type OnnxTensor } from '../formats/onnx.js';
import { GraphBuilder, type GraphTensor, type ModelGraph, type Value, type WeightSource } from './graph.js';
import { BLOCK, toFloat16 } from './quantize.js';
import type { OnnxDtype } from './settings.js';

/** What transformers.js looks for in the folder `onnx`. */
export const FILES: Readonly<Record<OnnxDtype, string>> = {
  fp32: 'model.onnx',
  fp16: 'model_fp16.onnx',
  q8: 'model_quantized.onnx',
  q4: 'model_q4.onnx',
};

/** Where what operators make of a table has its columns. A transposed one gives the logits of a vocabulary. */
const AXIS_OF_COLUMNS: Readonly<Record<string, number>> = { Gather: -1, Slice: -1, Transpose: 0 };

/** A table with fewer rows is not worth a scale and a zero point for each column. */
const LEAST_ROWS = 16;

/**
 * The graph with its weights in that form. In `q8` and `q4` tables of embeddings are uint8, with a scale for each column; matrices are
 * uint8 with a scale for each output, and a scale for each token that is multiplied with them; or 4 bits in blocks of 32.
 *
 * @param graph in float32
 * @param isKept whether a tensor of the model, by its name in Hugging Face's files, stays float32 in `q8` and `q4`
 */
export function variantOf(
  graph: ModelGraph,
  dtype: OnnxDtype,
  isKept: (tensor: string) => boolean,
): ModelGraph {
  if (dtype === 'fp32') return graph;
  return dtype === 'fp16' ? inFloat16(graph) : quantized(graph, dtype, isKept);
}

/** All in float16 but the logits, so that callers see no difference. */
function inFloat16(graph: ModelGraph): ModelGraph {
  const result = new GraphBuilder([], { opset: graph.opset });
  for (const tensor of graph.tensors) result.addTensor(halved(tensor));
  for (const node of graph.nodes) {
    const { to } = node.attributes;
    const attributes =
      to !== undefined && 'int' in to && to.int === ELEMENTS.float32.code
        ? { ...node.attributes, to: { int: ELEMENTS.float16.code } }
        : node.attributes;
    const isResult = graph.outputs.some(({ name }) => name === node.output);
    const output = isResult ? `${node.output}_float16` : node.output;
    result.addNode({ ...node, attributes, output });
    if (isResult) result.add('Cast', [output], { to: { int: ELEMENTS.float32.code } }, node.output);
  }
  return result.finish(graph.inputs, graph.outputs);
}

function halved(tensor: GraphTensor): GraphTensor {
  if (tensor.element !== 'float32') return tensor;
  const { content } = tensor;
  return {
    ...tensor,
    element: 'float16',
    content:
      content instanceof Uint8Array
        ? new Uint8Array(toFloat16(new Float32Array(content.slice().buffer)).buffer)
        : { ...content, stored: { as: 'float16', part: 'values' } },
  };
}

/** Tensors of weights, and the graph that is made of another one. */
interface Making {
  readonly graph: GraphBuilder;
  readonly tensors: ReadonlyMap<string, GraphTensor>;
}

function quantized(source: ModelGraph, dtype: 'q8' | 'q4', isKept: (tensor: string) => boolean): ModelGraph {
  const graph = new GraphBuilder([], { opset: source.opset, prefix: `${dtype}_` });
  const making: Making = { graph, tensors: new Map(source.tensors.map((tensor) => [tensor.name, tensor])) };
  /** The quantized tokens of a value, which queries, keys and values share. */
  const activations = new Map<Value, { values: Value; scale: Value }>();
  for (const node of source.nodes) {
    const { operator, inputs, output } = node;
    const [first = '', second = ''] = inputs;
    const matrix = operator === 'MatMul' ? weightOf(making, second, isKept) : undefined;
    const table = Object.hasOwn(AXIS_OF_COLUMNS, operator) ? weightOf(making, first, isKept) : undefined;
    if (matrix !== undefined && dtype === 'q4') product4(graph, first, matrix, output);
    else if (matrix !== undefined) {
      const x = activations.get(first) ?? quantizedTokens(graph, first);
      activations.set(first, x);
      product8(graph, x, matrix, output);
    } else if (table !== undefined && (table.shape[0] ?? 0) >= LEAST_ROWS) {
      const { values, scales, zeroPoints } = inBytes(graph, table);
      for (const name of inputs.slice(1)) keep(making, name);
      const rows = graph.add(operator, [values, ...inputs.slice(1)], node.attributes);
      const axis = { int: AXIS_OF_COLUMNS[operator] ?? -1 };
      graph.add('DequantizeLinear', [rows, scales, zeroPoints], { axis }, output);
    } else {
      for (const name of inputs) keep(making, name);
      graph.addNode(node);
    }
  }
  return graph.finish(source.inputs, source.outputs);
}

interface WeightTensor extends OnnxTensor {
  readonly content: WeightSource;
}

/** A weight that is to be quantized. */
function weightOf(
  { tensors }: Making,
  name: Value,
  isKept: (tensor: string) => boolean,
): WeightTensor | undefined {
  const tensor = tensors.get(name);
  return tensor !== undefined && isWeight(tensor) && !isKept(tensor.content.name) ? tensor : undefined;
}

function isWeight(tensor: GraphTensor): tensor is WeightTensor {
  return !(tensor.content instanceof Uint8Array);
}

function keep({ graph, tensors }: Making, name: Value): void {
  const tensor = tensors.get(name);
  if (tensor !== undefined) graph.addTensor(tensor);
}

/** A weight in uint8, with a scale and a zero point for each column. */
function inBytes(
  graph: GraphBuilder,
  { name, shape, content }: WeightTensor,
): { values: Value; scales: Value; zeroPoints: Value } {
  const [, columns = 0] = shape;
  const part = (which: 'values' | 'scales' | 'zeroPoints', own: readonly number[]): Value =>
    graph.addTensor({
      name: `${name}_${which}`,
      element: which === 'scales' ? 'float32' : 'uint8',
      shape: own,
      content: { ...content, stored: { as: 'uint8', part: which } },
    });
  return {
    values: part('values', shape),
    scales: part('scales', [columns]),
    zeroPoints: part('zeroPoints', [columns]),
  };
}

/**
 * Each token in uint8 with a scale of its own, symmetric around 128. One for the whole tensor, which DynamicQuantizeLinear has,
 * would make the answer to a text depend on the texts beside it.
 */
function quantizedTokens(graph: GraphBuilder, x: Value): { values: Value; scale: Value } {
  const magnitude = graph.add('Abs', [x]);
  // Axes are an attribute up to opset 17, and an input since.
  const largest =
    graph.opset < 18
      ? graph.add('ReduceMax', [magnitude], { axes: { ints: [-1] }, keepdims: { int: 1 } })
      : graph.add('ReduceMax', [magnitude, graph.list(-1)], { keepdims: { int: 1 } });
  const scale = graph.add('Div', [graph.add('Max', [largest, graph.scalar(1e-10)]), graph.scalar(127)]);
  const steps = graph.add('Round', [graph.add('Div', [x, scale])]);
  const values = graph.add('Cast', [graph.add('Add', [steps, graph.scalar(128)])], {
    to: { int: ELEMENTS.uint8.code },
  });
  return { values, scale };
}

/**
 * The two scales are two products: as one they would be the form that onnxruntime fuses, with a scale for the whole tensor.
 */
function product8(
  graph: GraphBuilder,
  x: { values: Value; scale: Value },
  matrix: WeightTensor,
  output: Value,
): void {
  const { values, scales, zeroPoints } = inBytes(graph, matrix);
  const sums = graph.add('MatMulInteger', [x.values, values, graph.byte(128), zeroPoints]);
  const floats = graph.add('Cast', [sums], { to: { int: ELEMENTS.float32.code } });
  graph.add('Mul', [graph.add('Mul', [floats, scales]), x.scale], {}, output);
}

function product4(
  graph: GraphBuilder,
  x: Value,
  { name, content, shape: [inputs = 0, outputs = 0] }: WeightTensor,
  output: Value,
): void {
  const blocks = Math.ceil(inputs / BLOCK);
  const values = graph.addTensor({
    name: `${name}_values`,
    element: 'uint8',
    shape: [outputs, blocks, BLOCK / 2],
    content: { ...content, stored: { as: 'int4', part: 'values' } },
  });
  const scales = graph.addTensor({
    name: `${name}_scales`,
    element: 'float32',
    shape: [outputs * blocks],
    content: { ...content, stored: { as: 'int4', part: 'scales' } },
  });
  const sizes = { K: inputs, N: outputs, bits: 4, block_size: BLOCK };
  graph.addNode({
    operator: 'MatMulNBits',
    domain: 'com.microsoft',
    inputs: [x, values, scales],
    output,
    attributes: Object.fromEntries(Object.entries(sizes).map(([key, int]) => [key, { int }])),
  });
}
