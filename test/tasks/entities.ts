// Entities in labels, their metrics and their aggregation from logits; the expected values are those of seqeval and of
// transformers' pipeline, from scripts/reference/entities.py.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  aggregate,
  aggregationStrategies,
  isSubword,
  trimmed,
  type AggregationStrategy,
  type TextEntity,
} from '../../dist/tasks/entity-aggregation.js';
import {
  entitiesOf,
  illegalLabels,
  labelSchemes,
  labelsOf,
  schemeOf,
  strictEntitiesOf,
  inScheme,
  type LabelScheme,
} from '../../dist/tasks/label-schemes.js';
import { EntityScores } from '../../dist/tasks/metrics/entity-scores.js';

type Row = [label: string, score: number, start: number, end: number];
interface Figures {
  micro: number[];
  macro: number;
  weighted: number;
  by_type: Record<string, number[]>;
  accuracy: number;
}
const fixture = JSON.parse(readFileSync(join(import.meta.dirname, '../fixtures/entities.json'), 'utf8')) as {
  schemes: Record<
    LabelScheme,
    {
      true: string[];
      predicted: string[];
      strict: string;
      default?: string;
      metrics: { default: Figures; strict: Figures };
    }
  >;
  pipeline: {
    text: string;
    prefix: string;
    tokens: string[];
    places: [number, number][];
    labels: string[];
    logits: number[][];
    subwords: number[];
    entities: Record<AggregationStrategy, Row[]>;
  }[];
};

const sentences = (lines: readonly string[]): string[][] => lines.map((line) => line.split(' '));

t.test('entities of random labels, by the loose reading and by each scheme', (t) => {
  for (const scheme of labelSchemes) {
    const one = fixture.schemes[scheme];
    const strict = sentences(one.true).flatMap((labels) =>
      strictEntitiesOf(labels, scheme).map(({ type, start, end }) => `${type}:${start}:${end}`),
    );
    t.equal(strict.join(' '), one.strict, `${scheme}, strict`);
    if (one.default === undefined) continue;
    const loose = sentences(one.true).flatMap((labels) =>
      entitiesOf(labels).map(({ type, start, end }) => `${type}:${start}:${end - 1}`),
    );
    t.equal(loose.join(' '), one.default, `${scheme}, default`);
  }
  t.throws(() => strictEntitiesOf(['O', 'E-PER'], 'IOB2'), { name: 'UsageError', message: /"E-PER".*IOB2/ });
  t.throws(() => strictEntitiesOf([''], 'IOB2'), { name: 'UsageError' });
  t.end();
});

t.test('precision, recall, F1 and accuracy as seqeval has them', (t) => {
  for (const scheme of labelSchemes) {
    const one = fixture.schemes[scheme];
    for (const mode of ['default', 'strict'] as const) {
      if (scheme === 'BILOU' && mode === 'default') continue;
      const scores = new EntityScores(mode === 'strict' ? scheme : null);
      const predicted = sentences(one.predicted);
      for (const [index, labels] of sentences(one.true).entries()) scores.add(labels, predicted[index] ?? []);
      const { micro, macro, weighted, by_type: byType, accuracy } = one.metrics[mode];
      const { precision, recall, f1, f1_macro, f1_weighted, accuracy: own } = scores.result();
      const found = [precision, recall, f1, f1_macro, f1_weighted, own];
      const wanted = [...micro, macro, weighted, accuracy];
      const apart = found.map((value, at) => Math.abs(value - (wanted[at] ?? Number.NaN)));
      t.ok(Math.max(...apart) < 1e-12, `${scheme}, ${mode}: ${found.join()} for ${wanted.join()}`);
      const types = Object.entries(scores.byType()).map(([type, { support, ...rest }]) => [
        type,
        ...[rest.precision, rest.recall, rest.f1].map((value) => value.toFixed(12)),
        support,
      ]);
      t.strictSame(
        types,
        Object.entries(byType).map(([type, row]) => [
          type,
          ...row.map((value, at) => (at < 3 ? value.toFixed(12) : value)),
        ]),
        `${scheme}, ${mode}`,
      );
    }
  }
  t.throws(() => new EntityScores().add(['O'], []), { name: 'RangeError' });
  t.same(new EntityScores().byType(), {});
  const none = new EntityScores();
  none.add(['O', 'O'], ['O', 'O']);
  t.match(none.result(), { precision: 0, recall: 0, f1: 0, accuracy: 1 });
  t.end();
});

t.test('labels that stand against their scheme', (t) => {
  t.equal(illegalLabels(['B-A', 'I-A', 'O', 'I-A', 'I-A', 'B-A', 'I-B'], 'IOB2'), 3);
  t.equal(illegalLabels(['B-A', 'E-A', 'S-B', 'B-A', 'O', 'I-A', 'E-A'], 'IOBES'), 3);
  t.equal(illegalLabels(['I-A', 'I-B', 'B-B'], 'IOB1'), 0);
  t.end();
});

t.test('the scheme of a set of labels, and labels in another', (t) => {
  t.equal(schemeOf(['O', 'B-PER', 'I-PER']), 'IOB2');
  t.equal(schemeOf(['O', 'I-PER']), 'IOB1');
  t.equal(schemeOf(['O', 'B-PER', 'S-PER']), 'IOBES');
  t.equal(schemeOf(['U-PER', 'O']), 'BILOU');
  t.equal(schemeOf(['O', 'PER']), null);
  t.equal(schemeOf(['O']), null);
  const entities = [
    { type: 'A', start: 0, end: 1 },
    { type: 'A', start: 1, end: 4 },
    { type: 'B', start: 5, end: 7 },
  ];
  t.same(labelsOf(entities, 8, 'IOBES'), ['S-A', 'B-A', 'I-A', 'E-A', 'O', 'B-B', 'E-B', 'O']);
  for (const scheme of ['IOB2', 'IOBES', 'BILOU'] as const)
    t.same(strictEntitiesOf(labelsOf(entities, 8, scheme), scheme), entities, scheme);
  t.same(entitiesOf(labelsOf(entities, 8, 'IOB2')), entities);
  for (const scheme of ['IOB2', 'IOBES', 'BILOU'] as const)
    t.same(
      inScheme(labelsOf(entities, 8, scheme), scheme, 'IOB2'),
      labelsOf(entities, 8, 'IOB2'),
      `from ${scheme}`,
    );
  t.same(inScheme(['I-A', 'I-A', 'B-A', 'O', 'I-B'], 'IOB1', 'IOB2'), ['B-A', 'I-A', 'B-A', 'O', 'B-B']);
  t.end();
});

const rowsOf = (entities: readonly TextEntity[]): [string, number, number][] =>
  entities.map(({ label, start, end }) => [label, start, end]);

t.test('logits to entities by each strategy of the pipeline', (t) => {
  for (const strategy of aggregationStrategies) {
    const wrong = fixture.pipeline.filter(({ text, prefix, tokens, places, labels, logits, entities }) => {
      const placed = places.map(([start, end], at) => ({
        start,
        end,
        isSubword: isSubword(text, tokens[at] ?? '', start, prefix),
      }));
      const values = logits.flat().map((value) => value / 4);
      const found = aggregate(placed, values, labels, strategy);
      const wanted = entities[strategy].filter(([label]) => label !== 'O');
      const isSame =
        JSON.stringify(rowsOf(found)) ===
        JSON.stringify(wanted.map(([label, , start, end]) => [label, start, end]));
      return !isSame || !found.every(({ score }, at) => Math.abs(score - (wanted[at]?.[1] ?? 0)) < 1e-6);
    });
    t.same(wrong.slice(0, 1), [], `${strategy}: ${wrong.length} of ${fixture.pipeline.length} differ`);
  }
  const subwords = fixture.pipeline.map(({ text, prefix, tokens, places }) =>
    tokens.map((token, at) => Number(isSubword(text, token, places[at]?.[0] ?? 0, prefix))),
  );
  t.same(
    subwords,
    fixture.pipeline.map((one) => one.subwords),
    'which tokens continue a word',
  );
  t.throws(() => aggregate([], [1], ['O'], 'none'), { name: 'RangeError' });
  t.end();
});

t.test('other schemes and names: what the pipeline has no rule for', (t) => {
  const tokens = Array.from({ length: 4 }, (_, at) => ({ start: 2 * at, end: 2 * at + 1, isSubword: false }));
  const group = (labels: string[], ids: number[]) => {
    const logits = ids.flatMap((id) => labels.map((_, other) => (other === id ? 9 : 0)));
    return rowsOf(aggregate(tokens, logits, labels, 'simple'));
  };
  t.same(group(['O', 'B-A', 'I-A', 'E-A', 'S-A'], [1, 3, 4, 4]), [
    ['A', 0, 3],
    ['A', 4, 5],
    ['A', 6, 7],
  ]);
  // A name with a dash is a name where not all labels have prefixes.
  t.same(group(['O', 'S-Bahn', 'Tram'], [1, 1, 0, 2]), [
    ['S-Bahn', 0, 3],
    ['Tram', 6, 7],
  ]);
  t.end();
});

t.test('an entity without the white space at its ends', (t) => {
  t.same(trimmed(' Ada Lovelace, ', { label: 'PER', score: 1, start: 0, end: 13 }), {
    label: 'PER',
    score: 1,
    start: 1,
    end: 13,
  });
  t.same(trimmed('a   b', { label: 'X', score: 1, start: 1, end: 3 }), {
    label: 'X',
    score: 1,
    start: 3,
    end: 3,
  });
  t.end();
});
