// Confident learning equals cleanlab (scripts/reference/label_errors.py), to the joint, the rows and their order.
import t from 'tap';
import {
  confidentJoint,
  confidentThresholds,
  labelIssues,
  multiLabelIssues,
} from '../../dist/inspection/confident-learning.js';
import { readFileSync } from 'node:fs';

interface Case {
  numLabels: number;
  probabilities: number[];
  issues: number[];
  scores: number[];
}

const fixture = JSON.parse(
  readFileSync(new URL('../fixtures/label-errors.json', import.meta.url), 'utf8'),
) as {
  single: (Case & { labels: number[]; thresholds: number[]; joint: number[][] })[];
  multi: (Case & { labels: number[][] })[];
};

const isNear = (a = Number.NaN, b = Number.NaN): boolean => Math.abs(a - b) < 1e-12;

void t.test('one label a row', (t) => {
  for (const [i, { issues, thresholds, joint, scores, ...data }] of fixture.single.entries()) {
    t.ok(
      confidentThresholds(data).every((threshold, id) => isNear(threshold, thresholds[id])),
      `thresholds ${i}`,
    );
    t.same(confidentJoint(data), joint, `joint ${i}`);
    const found = labelIssues(data);
    t.same(
      found.map(({ row }) => row),
      issues,
      `issues ${i}`,
    );
    t.ok(
      found.every(({ row, score }) => isNear(score, scores[row])),
      `scores ${i}`,
    );
    for (const { row, suggested } of found) {
      const of = data.probabilities.slice(row * data.numLabels, (row + 1) * data.numLabels);
      t.same(suggested, [of.indexOf(Math.max(...of))]);
    }
  }
  t.end();
});

void t.test('several labels a row', (t) => {
  for (const [i, { labels, issues, scores, ...data }] of fixture.multi.entries()) {
    const hot = labels.flatMap((ids) =>
      Array.from({ length: data.numLabels }, (_, id) => Number(ids.includes(id))),
    );
    const found = multiLabelIssues({ ...data, hot });
    t.same(
      found.map(({ row }) => row),
      issues,
      `issues ${i}`,
    );
    t.ok(
      found.every(({ row, score }) => isNear(score, scores[row])),
      `scores ${i}`,
    );
  }
  t.end();
});

void t.test('what is suggested', (t) => {
  // Three rows of each label that are right, and one of 0 that is 1 by its probability.
  const right = [0, 0, 0, 1, 1, 1];
  const labels = [...right, 0];
  const sure = (id: number): number[] => (id === 0 ? [0.9, 0.1] : [0.1, 0.9]);
  const probabilities = [...right.flatMap(sure), ...sure(1)];
  t.same(labelIssues({ labels, probabilities, numLabels: 2 }), [{ row: 6, suggested: [1], score: 0.1 }]);
  t.same(labelIssues({ labels: right, probabilities: right.flatMap(sure), numLabels: 2 }), []);

  // Of several labels: the one that is wrong goes, the one that is missing comes, the others stay.
  const rows = [
    [1, 0, 1],
    [1, 0, 1],
    [0, 1, 0],
    [0, 1, 0],
    [0, 0, 1],
    [1, 1, 0],
    [1, 0, 1],
  ];
  const hot = rows.flat();
  const by: number[] = hot.map((has) => (has === 1 ? 0.95 : 0.05));
  by.splice(18, 3, 0.95, 0.97, 0.01);
  t.match(multiLabelIssues({ hot, probabilities: by, numLabels: 3 }), [{ row: 6, suggested: [0, 1] }]);

  // A label that every row has can be compared with none.
  t.same(multiLabelIssues({ hot: [1, 1, 1], probabilities: [0.9, 0.2, 0.8], numLabels: 1 }), []);
  t.end();
});
