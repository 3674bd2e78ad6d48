// A graph in the making: operators in the order in which they run, and the tensors that they read, each once. A tensor is a
// constant, or rows of a weight, which is read from the model when the file is written.
import type { OnnxAttribute, OnnxGraph, OnnxNode, OnnxTensor, OnnxValue } from '../formats/onnx.js';
import type { ParameterSpec } from '../native/spec.js';

/** Rows of a tensor of the model. */
export interface WeightSource {
  /** As Hugging Face has it. */
  readonly name: string;
  readonly firstRow: number;
  readonly rows: number;
  /** Numbers in a row. */
  readonly columns: number;
  readonly isTransposed: boolean;
}

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

  /** @param parameters of the model, by their canonical names */
  constructor(parameters: readonly ParameterSpec[]) {
    this.#parameters = new Map(parameters.map((parameter) => [parameter.name, parameter]));
  }

  /** Adds an operator of ONNX with one output. */
  add(
    operator: string,
    inputs: readonly Value[],
    attributes: Readonly<Record<string, OnnxAttribute>> = {},
    output: Value = `${operator}_${this.#nodes.length}:0`,
  ): Value {
    this.#nodes.push({ operator, inputs, output, attributes });
    return output;
  }

  /** A float32 number. */
  scalar(value: number): Value {
    return this.#constant(`number_${value}`, 'float32', [], new Uint8Array(Float32Array.of(value).buffer));
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
    if (!this.#tensors.has(name)) this.#tensors.set(name, { name, element, shape, content });
    return name;
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
      if (!this.#tensors.has(name))
        this.#tensors.set(name, { name, element: 'float32', shape: stored, content });
      return name;
    }
    throw new Error(`${parameter} has no tensor with the rows ${firstRow} to ${firstRow + rows}`);
  }

  /** x W^T + b, [..., outputs], with the bias where there is one. */
  linear(layer: string, x: Value, part?: Part): Value {
    const product = this.add('MatMul', [x, this.#matrix(`${layer}.weight`, part)]);
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
    return { nodes: this.#nodes, inputs, outputs, tensors: [...this.#tensors.values()] };
  }
}

/**
 * The bytes of a tensor.
 *
 * @param read gives a tensor of the model
 */
export async function contentOf(
  { content }: GraphTensor,
  read: (name: string) => Promise<Float32Array>,
): Promise<Uint8Array> {
  if (content instanceof Uint8Array) return content;
  const { name, firstRow, rows, columns, isTransposed } = content;
  const values = (await read(name)).subarray(firstRow * columns, (firstRow + rows) * columns);
  const stored = isTransposed ? transposed(values, content) : values;
  return new Uint8Array(stored.buffer, stored.byteOffset, stored.byteLength);
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
