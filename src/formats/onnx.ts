// ONNX files: a graph of operators, and the tensors that it reads. Numbers of fields and types are those of onnx.proto (ONNX 1.12: IR
// version 8, opset 17), of which a written graph needs a dozen messages; they are written with protobuf's own writer, so that
// there is no generated code. Tensors follow one by one, each read when it is its turn: no message holds more than one.
import { stat, type FileHandle } from 'node:fs/promises';
import { basename } from 'node:path';
import { BinaryWriter, WireType } from '@bufbuild/protobuf/wire';
import { RunError } from '../util/errors.js';
import { writeAt, writeFileAtomic } from '../util/files.js';

/** What the oldest runtimes in use read; newer versions have nothing that an encoder needs. */
const IR_VERSION = 8;

/** TensorProto.DataType, and bytes of an element. */
export const ELEMENTS = {
  float32: { code: 1, bytes: 4 },
  uint8: { code: 2, bytes: 1 },
  int64: { code: 7, bytes: 8 },
  float16: { code: 10, bytes: 2 },
  float64: { code: 11, bytes: 8 },
} as const;
export type OnnxElement = keyof typeof ELEMENTS;

/** AttributeProto.AttributeType */
const ATTRIBUTES = { float: 1, int: 2, ints: 7 } as const;
export type OnnxAttribute = { float: number } | { int: number } | { ints: readonly number[] };

export interface OnnxNode {
  readonly operator: string;
  /** Of an operator that is not ONNX's own, in version 1 of the domain. */
  readonly domain?: string;
  /** An empty name is an input that is left out. */
  readonly inputs: readonly string[];
  readonly output: string;
  readonly attributes: Readonly<Record<string, OnnxAttribute>>;
}

/** An input or output of the graph; an axis that is not fixed has a name. */
export interface OnnxValue {
  readonly name: string;
  readonly element: OnnxElement;
  readonly shape: readonly (number | string)[];
}

/** A tensor of the file, ONNX's initializer. */
export interface OnnxTensor extends OnnxValue {
  readonly shape: readonly number[];
}

export interface OnnxGraph<Tensor extends OnnxTensor = OnnxTensor> {
  /** The version of ONNX's operators. */
  readonly opset: number;
  readonly nodes: readonly OnnxNode[];
  readonly inputs: readonly OnnxValue[];
  readonly outputs: readonly OnnxValue[];
  readonly tensors: readonly Tensor[];
}

/** protobuf reads no message of 2 GiB; some room is left for the rest of it. */
const MOST_BYTES = 2 ** 31 - 2 ** 24;
/** Of a file of its own for the tensors: smaller ones stay with the graph, and pages can be mapped. */
const LEAST_EXTERNAL_BYTES = 1024;
const PAGE = 4096;

export function tensorBytes({ element, shape }: OnnxTensor): number {
  return shape.reduce((product, size) => product * size, ELEMENTS[element].bytes);
}

/**
 * Writes a model file, tensor by tensor. Above 2 GiB the tensors go to a second file, `PATH_data`, as transformers.js names it.
 *
 * @param read gives the content of a tensor: little-endian, row-major
 * @param mostBytes of a file that holds its tensors
 * @returns whether there is a second file, and the bytes of all
 * @throws RunError when a file cannot be written, or a tensor has not the size that its shape asks for
 */
export async function writeOnnx<Tensor extends OnnxTensor>(
  path: string,
  graph: OnnxGraph<Tensor>,
  read: (tensor: Tensor) => Promise<Uint8Array>,
  { mostBytes = MOST_BYTES }: { mostBytes?: number } = {},
): Promise<{ hasExternalData: boolean; bytes: number }> {
  const content = async (tensor: Tensor): Promise<Uint8Array> => {
    const data = await read(tensor);
    if (data.byteLength === tensorBytes(tensor)) return data;
    throw new RunError(
      `Could not write ${path}: ${tensor.name} [${tensor.shape.join(', ')}] came as ${data.byteLength} bytes`,
    );
  };
  const hasExternalData = graph.tensors.reduce((sum, tensor) => sum + tensorBytes(tensor), 0) > mostBytes;
  const places = hasExternalData ? placesIn(graph.tensors) : new Map<Tensor, number>();
  const dataPath = `${path}_data`;
  if (hasExternalData)
    await writeFileAtomic(dataPath, async (file) => {
      for (const [tensor, place] of places) await writeAt(file, await content(tensor), place);
    });
  const entries = graph.tensors.map((tensor) => ({
    tensor,
    ...tensorMessage(tensor, places.get(tensor), basename(dataPath)),
  }));
  const body = graphMessage(graph);
  const graphBytes = entries.reduce((sum, { head, rawBytes }) => sum + head.length + rawBytes, body.length);
  await writeFileAtomic(path, async (file) => {
    const append = appender(file);
    await append(modelMessage(graph, graphBytes));
    await append(body);
    for (const { tensor, head, rawBytes } of entries) {
      await append(head);
      if (rawBytes > 0) await append(await content(tensor));
    }
  });
  const sizes = await Promise.all((hasExternalData ? [path, dataPath] : [path]).map((name) => stat(name)));
  return { hasExternalData, bytes: sizes.reduce((sum, { size }) => sum + size, 0) };
}

function appender(file: FileHandle): (data: Uint8Array) => Promise<void> {
  let position = 0;
  return async (data) => {
    await writeAt(file, data, position);
    position += data.byteLength;
  };
}

/** Where tensors begin in a file of their own. */
function placesIn<Tensor extends OnnxTensor>(tensors: readonly Tensor[]): Map<Tensor, number> {
  const places = new Map<Tensor, number>();
  let end = 0;
  for (const tensor of tensors) {
    const bytes = tensorBytes(tensor);
    if (bytes < LEAST_EXTERNAL_BYTES) continue;
    const place = Math.ceil(end / PAGE) * PAGE;
    places.set(tensor, place);
    end = place + bytes;
  }
  return places;
}

/** ModelProto up to the content of its graph, which is its last field. */
function modelMessage({ opset, nodes }: OnnxGraph, graphBytes: number): Uint8Array {
  const model = new BinaryWriter();
  integer(model, 1, IR_VERSION);
  text(model, 2, 'bertune');
  const domains = new Set(nodes.flatMap(({ domain }) => domain ?? []));
  for (const [domain, version] of [['', opset] as const, ...[...domains].map((name) => [name, 1] as const)])
    nested(model, 8, (operators) => {
      text(operators, 1, domain);
      integer(operators, 2, version);
    });
  return model.tag(7, WireType.LengthDelimited).uint32(graphBytes).finish();
}

/** GraphProto without its tensors. */
function graphMessage({ nodes, inputs, outputs }: OnnxGraph): Uint8Array {
  const graph = new BinaryWriter();
  for (const [i, { operator, domain, inputs: from, output, attributes }] of nodes.entries())
    nested(graph, 1, (node) => {
      for (const name of from) text(node, 1, name);
      text(node, 2, output);
      text(node, 3, `${operator}_${i}`);
      text(node, 4, operator);
      for (const [name, value] of Object.entries(attributes))
        nested(node, 5, (attribute) => attributeFields(attribute, name, value));
      if (domain !== undefined) text(node, 7, domain);
    });
  text(graph, 2, 'main');
  for (const value of inputs) nested(graph, 11, (input) => valueFields(input, value));
  for (const value of outputs) nested(graph, 12, (output) => valueFields(output, value));
  return graph.finish();
}

/** AttributeProto */
function attributeFields(attribute: BinaryWriter, name: string, value: OnnxAttribute): void {
  text(attribute, 1, name);
  if ('float' in value) {
    attribute.tag(2, WireType.Bit32).float(value.float);
    integer(attribute, 20, ATTRIBUTES.float);
  } else if ('int' in value) {
    integer(attribute, 3, value.int);
    integer(attribute, 20, ATTRIBUTES.int);
  } else {
    for (const item of value.ints) integer(attribute, 8, item);
    integer(attribute, 20, ATTRIBUTES.ints);
  }
}

/** ValueInfoProto, with TypeProto and TensorShapeProto in it. */
function valueFields(value: BinaryWriter, { name, element, shape }: OnnxValue): void {
  text(value, 1, name);
  nested(value, 2, (type) =>
    nested(type, 1, (tensor) => {
      integer(tensor, 1, ELEMENTS[element].code);
      nested(tensor, 2, (list) => {
        for (const size of shape)
          nested(list, 1, (dimension) =>
            typeof size === 'number' ? integer(dimension, 1, size) : text(dimension, 2, size),
          );
      });
    }),
  );
}

/**
 * The entry of a tensor in GraphProto up to its content, which is the last field of TensorProto.
 *
 * @param place in the file of the tensors, for one that is there
 */
function tensorMessage(
  tensor: OnnxTensor,
  place: number | undefined,
  location: string,
): { head: Uint8Array; rawBytes: number } {
  const { name, element, shape } = tensor;
  const fields = new BinaryWriter();
  for (const size of shape) integer(fields, 1, size);
  integer(fields, 2, ELEMENTS[element].code);
  text(fields, 8, name);
  let rawBytes = 0;
  if (place === undefined) {
    rawBytes = tensorBytes(tensor);
    fields.tag(9, WireType.LengthDelimited).uint32(rawBytes);
  } else {
    const external = { location, offset: String(place), length: String(tensorBytes(tensor)) };
    for (const [key, value] of Object.entries(external))
      nested(fields, 13, (entry) => {
        text(entry, 1, key);
        text(entry, 2, value);
      });
    integer(fields, 14, 1); // DataLocation.EXTERNAL
  }
  const bytes = fields.finish();
  const head = new BinaryWriter();
  head
    .tag(5, WireType.LengthDelimited)
    .uint32(bytes.length + rawBytes)
    .raw(bytes);
  return { head: head.finish(), rawBytes };
}

function text(message: BinaryWriter, field: number, value: string): void {
  message.tag(field, WireType.LengthDelimited).string(value);
}

function integer(message: BinaryWriter, field: number, value: number): void {
  message.tag(field, WireType.Varint).int64(value);
}

function nested(message: BinaryWriter, field: number, fill: (inner: BinaryWriter) => void): void {
  message.tag(field, WireType.LengthDelimited).fork();
  fill(message);
  message.join();
}
