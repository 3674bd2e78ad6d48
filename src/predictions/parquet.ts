// Predictions as Parquet, written one row group at a time.
import type { SchemaElement } from 'hyparquet';
import { ByteWriter, ParquetWriter } from 'hyparquet-writer';
import type { Task } from '../tasks/index.js';
import {
  passthroughText,
  probabilityColumns,
  type PassthroughColumn,
  type PredictedRow,
  type PredictionFormat,
} from './table.js';

/** Bounds what is held in memory: a row group is written when it has this many cells. */
const CELLS_A_GROUP = 200_000;

/** One column: its elements of the schema, and its cell of a row. */
interface Column {
  schema: SchemaElement[];
  cell: (row: PredictedRow) => unknown;
}

/** The columns of `csv`, with several labels as a list. What is carried over keeps its type, or else is text. */
export const parquet: PredictionFormat = async function* (batches, { task, hasPlaces, passthrough }) {
  const columns: Column[] = [
    { schema: [int64('row')], cell: ({ row }) => BigInt(row) },
    ...(hasPlaces ? [{ schema: [text('place')], cell: ({ place }: PredictedRow) => place }] : []),
    ...passthrough.map(carried),
    { schema: labelSchema(task), cell: ({ label }) => label },
    { schema: [double('score')], cell: ({ score }) => score },
    ...probabilityColumns(task).map(({ column, label }) => ({
      schema: [double(column)],
      cell: ({ probabilities }: PredictedRow) => probabilities[label],
    })),
  ];
  const root: SchemaElement = { name: 'schema', num_children: columns.length };
  const bytes = new ByteWriter();
  const file = new ParquetWriter({
    writer: bytes,
    schema: [root, ...columns.flatMap(({ schema }) => schema)],
  });
  const rowsAGroup = Math.ceil(CELLS_A_GROUP / columns.length);

  let waiting: PredictedRow[] = [];
  const writeGroup = async (): Promise<Uint8Array> => {
    const columnData = columns.map(({ schema, cell }) => ({
      name: schema[0]?.name ?? '',
      data: waiting.map(cell),
    }));
    await file.write({ columnData, rowGroupSize: waiting.length });
    waiting = [];
    return taken(bytes);
  };
  for await (const rows of batches) {
    waiting.push(...rows);
    if (waiting.length >= rowsAGroup) yield await writeGroup();
  }
  if (waiting.length > 0) yield await writeGroup();
  await file.finish();
  yield taken(bytes);
};

/** The bytes written so far; the writer's `offset` keeps counting from the start of the file. */
function taken(writer: ByteWriter): Uint8Array {
  const bytes = writer.getBytes().slice();
  writer.index = 0;
  return bytes;
}

/** A column that is carried over. */
function carried({ name, kind }: PassthroughColumn, at: number): Column {
  const value = ({ passthrough }: PredictedRow): unknown => passthrough?.[at] ?? null;
  if (kind === 'number') return { schema: optional(double(name)), cell: value };
  if (kind === 'boolean') return { schema: optional({ name, type: 'BOOLEAN' }), cell: value };
  if (kind === 'integer') return { schema: optional(int64(name)), cell: (row) => bigIntOrNull(value(row)) };
  return {
    schema: optional(text(name)),
    cell: (row) => (value(row) === null ? null : passthroughText(value(row))),
  };
}

/** A row may have no value there. */
function optional(element: SchemaElement): SchemaElement[] {
  return [{ ...element, repetition_type: 'OPTIONAL' }];
}

function bigIntOrNull(value: unknown): bigint | null {
  return typeof value === 'number' ? BigInt(value) : null;
}

function labelSchema({ labelType: { of, isList } }: Task): SchemaElement[] {
  const element = of === 'number' ? double : text;
  if (!isList) return [element('label')];
  return [
    { name: 'label', repetition_type: 'REQUIRED', num_children: 1, converted_type: 'LIST' },
    { name: 'list', repetition_type: 'REPEATED', num_children: 1 },
    element('element'),
  ];
}

function int64(name: string): SchemaElement {
  return { name, type: 'INT64', repetition_type: 'REQUIRED' };
}

function double(name: string): SchemaElement {
  return { name, type: 'DOUBLE', repetition_type: 'REQUIRED' };
}

function text(name: string): SchemaElement {
  return { name, type: 'BYTE_ARRAY', repetition_type: 'REQUIRED', converted_type: 'UTF8' };
}
