// A graph in the making: operators in the order in which they run, and the tensors that they read, each once. A tensor is a
// constant, or rows of a weight, which is read from the model when the file is written.
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor, OnnxValue } from '../formats/onnx.js';
import type { ParameterSpec } from '../native/spec.js';
import { OPSET } from './settings.js';
import { quantizeBlocks, quantizeColumns, toFloat16 } from './quantize.js';

/** Rows of a tensor of the model. */
export interface WeightSource {
  /** As Hugging Face has it. */
  readonly name: string;
  readonly firstRow: number;
  readonly rows: number;
  /** Numbers in a row. */
  readonly columns: number;
  readonly isTransposed: boolean;
  /** Left out where they are stored as they are, in float32. */
  readonly stored?: Stored;
}

/** Weights in fewer bits, or what belongs to them. */
export type Stored =
  | { readonly as: 'float16'; readonly part: 'values' }
  | { readonly as: 'uint8'; readonly part: 'values' | 'scales' | 'zeroPoints' }
  | { readonly as: 'int4'; readonly part: 'values' | 'scales' };

/** A tensor of the graph: its bytes, or where they come from. */
export interface GraphTensor extends OnnxTensor {
  readonly content: Uint8Array | WeightSource;
}

export type ModelGraph = OnnxGraph<GraphTensor>;

/** Rows of a parameter; all of them where it is left out. */
export interface Part {
  readonly firstRow: number;
  readonly rows: number;
}

/** The name of a value: an input, a tensor, or the output of an operator. */
export type Value = string;

export class GraphBuilder {
  readonly #nodes: OnnxNode[] = [];
  readonly #tensors = new Map<string, GraphTensor>();
  readonly #parameters: ReadonlyMap<string, ParameterSpec>;
  readonly #prefix: string;
  readonly opset: number;

  /**
   * @param parameters of the model, by their canonical names
   * @param options.prefix of the names of outputs
   */
  constructor(
    parameters: readonly ParameterSpec[],
    { opset = OPSET, prefix = '' }: { opset?: number; prefix?: string } = {},
  ) {
    this.#parameters = new Map(parameters.map((parameter) => [parameter.name, parameter]));
    this.opset = opset;
    this.#prefix = prefix;
  }

  /** Adds an operator of ONNX with one output. */
  add(
    operator: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    output?: Value,
  ): Value {
    return this.addNode({
      operator,
      inputs,
      attributes,
      output: output ?? `${this.#prefix}${operator}_${this.#nodes.length}:0`,
    });
  }

  /** Adds an operator as it is. */
  addNode(node: OnnxNode): Value {
    this.#nodes.push(node);
    return node.output;
  }

  /** Adds a tensor, unless there is one of its name. */
  addTensor(tensor: GraphTensor): Value {
    if (!this.#tensors.has(tensor.name)) this.#tensors.set(tensor.name, tensor);
    return tensor.name;
  }

  /** A float32 number. */
  scalar(value: number): Value {
    return this.#constant(`number_${value}`, 'float32', [], new Uint8Array(Float32Array.of(value).buffer));
  }

  /** A float64 list. */
  doubles(name: string, values: readonly number[]): Value {
    const content = new Uint8Array(Float64Array.from(values).buffer);
    return this.#constant(name, 'float64', [values.length], content);
  }

  /** An int64 list that is too long to be named after what is in it. */
  integers(name: string, values: readonly number[]): Value {
    const content = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#constant(name, 'int64', [values.length], content);
  }

  /** A uint8 number. */
  byte(value: number): Value {
    return this.#constant(`byte_${value}`, 'uint8', [], Uint8Array.of(value));
  }

  /** An int64 number. */
  index(value: number): Value {
    const bytes = new Uint8Array(BigInt64Array.of(BigInt(value)).buffer);
    return this.#constant(`index_${value}`, 'int64', [], bytes);
  }

  /** An int64 list. */
  list(...values: number[]): Value {
    const bytes = new Uint8Array(BigInt64Array.from(values, BigInt).buffer);
    return this.#constant(`list_${values.join('_')}`, 'int64', [values.length], bytes);
  }

  #constant(name: string, element: OnnxTensor['element'], shape: number[], content: Uint8Array): Value {
    return this.addTensor({ name, element, shape, content });
  }

  has(parameter: string): boolean {
    return this.#parameters.has(parameter);
  }

  /** Of a parameter. */
  rowsOf(parameter: string): number {
    return this.#parameter(parameter).shape[0] ?? 0;
  }

  #parameter(name: string): ParameterSpec {
    const parameter = this.#parameters.get(name);
    if (parameter === undefined) throw new Error(`The model has no parameter ${name}`);
    return parameter;
  }

  /** A parameter, under the name of its tensor in Hugging Face's files. */
  parameter(name: string, part?: Part): Value {
    return this.#weight(name, part, false);
  }

  /** The matrix of a linear layer, [inputs, outputs], as MatMul takes it. */
  #matrix(name: string, part?: Part): Value {
    return this.#weight(name, part, true);
  }

  #weight(parameter: string, part: Part | undefined, isTransposed: boolean): Value {
    const { shape, tensors } = this.#parameter(parameter);
    const [all = 0, ...inner] = shape;
    const { firstRow, rows } = part ?? { firstRow: 0, rows: all };
    let begin = 0;
    for (const tensor of tensors) {
      const end = begin + tensor.rows;
      if (firstRow < begin || firstRow + rows > end) {
        begin = end;
        continue;
      }
      const isWhole = rows === tensor.rows;
      const range = isWhole ? '' : `_${firstRow - begin}_${firstRow - begin + rows}`;
      const name = `${tensor.name}${range}${isTransposed ? '_T' : ''}`;
      const [columns = 1] = inner;
      const content = { name: tensor.name, firstRow: firstRow - begin, rows, columns, isTransposed };
      const stored = isTransposed ? [columns, rows] : [rows, ...inner];
      return this.addTensor({ name, element: 'float32', shape: stored, content });
    }
    throw new Error(`${parameter} has no tensor with the rows ${firstRow} to ${firstRow + rows}`);
  }

  /** x W^T + b, [..., outputs], with the bias where there is one. */
  linear(layer: string, x: Value, part?: Part): Value {
    return this.#biased(this.add('MatMul', [x, this.#matrix(`${layer}.weight`, part)]), layer, part);
  }

  /** The same with a table that others read as it is, so that the file has it once. */
  vocabulary(layer: string, table: string, x: Value): Value {
    const matrix = this.add('Transpose', [this.parameter(table)], { perm: { ints: [1, 0] } });
    return this.#biased(this.add('MatMul', [x, matrix]), layer);
  }

  #biased(product: Value, layer: string, part?: Part): Value {
    const bias = `${layer}.bias`;
    return this.has(bias) ? this.add('Add', [product, this.parameter(bias, part)]) : product;
  }

  /** LayerNorm over the last axis. */
  norm(layer: string, x: Value, eps: number): Value {
    const bias = this.has(`${layer}.bias`) ? [this.parameter(`${layer}.bias`)] : [];
    return this.add('LayerNormalization', [x, this.parameter(`${layer}.weight`), ...bias], {
      axis: { int: -1 },
      epsilon: { float: eps },
    });
  }

  finish(inputs: readonly OnnxValue[], outputs: readonly OnnxValue[]): ModelGraph {
    return {
      opset: this.opset,
      nodes: this.#nodes,
      inputs,
      outputs,
      tensors: [...this.#tensors.values()],
    };
  }
}

/**
 * Gives the bytes of tensors, in turn. What belongs to one weight is best asked for one after the other: it is quantized once.
 *
 * @param read gives a tensor of the model
 */
export function contentReader(
  read: (name: string) => Promise<Float32Array>,
): (tensor: GraphTensor) => Promise<Uint8Array> {
  let last: { key: string; parts: Promise<WeightParts> } | undefined;
  return async ({ content }) => {
    if (content instanceof Uint8Array) return content;
    const { stored, ...weight } = content;
    const key = JSON.stringify([weight, stored?.as]);
    if (last?.key !== key) last = { key, parts: partsOf(weight, stored?.as, read) };
    const part = (await last.parts)[stored?.part ?? 'values'];
    if (part === undefined) throw new Error(`${weight.name} has no ${stored?.part} in ${stored?.as}`);
    return new Uint8Array(part.buffer, part.byteOffset, part.byteLength);
  };
}

/** What is stored of a weight. */
interface WeightParts {
  readonly values: Float32Array | Uint16Array | Uint8Array;
  readonly scales?: Float32Array;
  readonly zeroPoints?: Uint8Array;
}

async function partsOf(
  weight: WeightSource,
  form: Stored['as'] | undefined,
  read: (name: string) => Promise<Float32Array>,
): Promise<WeightParts> {
  const { name, firstRow, rows, columns, isTransposed } = weight;
  const own = (await read(name)).subarray(firstRow * columns, (firstRow + rows) * columns);
  if (form === 'int4') return quantizeBlocks(own, columns); // in the rows of the model
  const values = isTransposed ? transposed(own, weight) : own;
  if (form === 'uint8') return quantizeColumns(values, isTransposed ? rows : columns);
  return { values: form === 'float16' ? toFloat16(values) : values };
}

/** Rows and columns of a block, so that what is read and written stays in the cache. */
const BLOCK = 32;

function transposed(values: Float32Array, { rows, columns }: Pick<WeightSource, 'rows' | 'columns'>) {
  const result = new Float32Array(values.length);
  for (let top = 0; top < rows; top += BLOCK)
    for (let left = 0; left < columns; left += BLOCK)
      for (let row = top; row < Math.min(rows, top + BLOCK); row++)
        for (let column = left; column < Math.min(columns, left + BLOCK); column++)
          result[column * rows + row] = values[row * columns + column] ?? 0;
  return result;
}
