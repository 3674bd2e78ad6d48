// Disentangled attention in a graph: what relative positions add to the scores. GatherElements would need an index as large as all scores;
// here the rows of products by distance are shifted into place.
import type { DisentangledSpec, EncoderSpec } from '../native/spec.js';
import type { GraphBuilder, Value } from './graph.js';

/** The table of relative positions, and its rows for the distances of a sequence to its keys: descending and ascending. */
export interface RelativePositions {
  readonly spec: DisentangledSpec;
  readonly table: Value;
  readonly ofKeys: Value;
  readonly ofQueries: Value;
  /** Of the sequences, an int64 list of one. */
  readonly length: Value;
}

export function relativePositions(
  graph: GraphBuilder,
  spec: DisentangledSpec,
  length: Value,
): RelativePositions {
  // A batch of one: of products of two axes onnxruntime 1.30.0 makes Gemm, which it cannot fold for constants of float16.
  const all = graph.add('Unsqueeze', [graph.parameter('relative.weight'), graph.list(0)]);
  const table = spec.norm === null ? all : graph.norm('relative.norm', all, spec.norm.eps);
  const end = graph.add('Squeeze', [length, graph.list(0)]);
  const [most, least] = [graph.add('Sub', [end, graph.index(1)]), graph.add('Sub', [graph.index(1), end])];
  const farthest = Math.floor(spec.rowOfDistance.length / 2);
  const rowOf = graph.integers('row_of_distance', spec.rowOfDistance);
  const rows = (first: Value, limit: Value, step: number): Value => {
    const distances = graph.add('Range', [first, limit, graph.index(step)]);
    const near = graph.add('Clip', [distances, graph.index(-farthest), graph.index(farthest)]);
    return graph.add('Gather', [rowOf, graph.add('Add', [near, graph.index(farthest)])]);
  };
  return {
    spec,
    table,
    ofKeys: rows(most, graph.add('Sub', [least, graph.index(1)]), -1),
    ofQueries: rows(least, end, 1),
    length,
  };
}

/**
 * What the distances add to the scores of all heads, [batch, heads, queries, keys]: queries times the keys of their distances, and
 * keys times the queries of theirs.
 */
export function relativeScores(
  graph: GraphBuilder,
  { hidden, heads }: EncoderSpec,
  name: string,
  { spec, table, ofKeys, ofQueries, length }: RelativePositions,
  { query, key, isFirstOnly }: { query: Value; key: Value; isFirstOnly: boolean },
): Value[] {
  const width = hidden / heads;
  /** [1, heads, width, distances] */
  const project = (part: 0 | 1, rows: Value): Value => {
    const own = `${name}.${part === 0 ? 'relativeQuery' : 'relativeKey'}`;
    const projected = spec.shared
      ? graph.linear(`${name}.queryKeyValue`, table, { firstRow: part * hidden, rows: hidden })
      : graph.linear(own, table);
    const ofDistances = graph.add('Gather', [projected, rows], { axis: { int: 1 } });
    const split = graph.add('Reshape', [ofDistances, graph.list(0, 0, heads, width)]);
    return graph.add('Transpose', [split], { perm: { ints: [0, 2, 3, 1] } });
  };
  const scores: Value[] = [];
  const middle = graph.add('Sub', [length, graph.list(1)]);
  const end = graph.list(2 ** 31 - 1);
  if (spec.keys) {
    const products = graph.add('MatMul', [query, project(1, ofKeys)]);
    // The first token is before all keys: the distances of its row are the last ones.
    scores.push(
      isFirstOnly
        ? graph.add('Slice', [products, middle, end, graph.list(3)])
        : diagonals(graph, products, { length, middle, end }),
    );
  }
  if (spec.queries) {
    const queries = project(0, ofQueries);
    if (isFirstOnly) {
      // Key j is at distance -j: the first ones in reverse.
      const own = graph.add('Slice', [
        queries,
        middle,
        graph.list(-(2 ** 31)),
        graph.list(3),
        graph.list(-1),
      ]);
      const products = graph.add('Mul', [key, own]);
      scores.push(graph.add('ReduceSum', [products, graph.list(2)], { keepdims: { int: 1 } }));
    } else {
      const rows = graph.add('Transpose', [key], { perm: { ints: [0, 1, 3, 2] } });
      const turned = diagonals(graph, graph.add('MatMul', [rows, queries]), { length, middle, end });
      scores.push(graph.add('Transpose', [turned], { perm: { ints: [0, 1, 3, 2] } }));
    }
  }
  return scores;
}

/**
 * From [.., length, 2 * length - 1] the columns `length` - 1 + j - i of each row i, [.., length, length]: in rows that are one longer
 * they stand below one another.
 */
function diagonals(
  graph: GraphBuilder,
  x: Value,
  { length, middle, end }: { length: Value; middle: Value; end: Value },
): Value {
  const padded = graph.add('Pad', [x, graph.list(0, 0, 0, 0, 0, 0, 0, 1)]);
  const flat = graph.add('Reshape', [padded, graph.list(0, 0, -1)]);
  const cut = graph.add('Slice', [flat, graph.list(0), graph.add('Neg', [length]), graph.list(2)]);
  const shape = graph.add('Concat', [graph.list(0, 0), length, graph.list(-1)], { axis: { int: 0 } });
  return graph.add('Slice', [graph.add('Reshape', [cut, shape]), middle, end, graph.list(3)]);
}
