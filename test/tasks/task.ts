// What each kind of task makes of labels and logits. Expected values: torch.nn's definition of its losses, and arithmetic.
import { readdirSync, readFileSync } from 'node:fs';
import { join } from 'node:path';
import t from 'tap';

import {
  asTask,
  impliedProblemType,
  problemTypes,
  taskKinds,
  taskOf,
  type Targets,
} from '../../dist/tasks/index.js';

const single = taskOf('single_label_classification', ['a', 'b', 'c']);
const multi = taskOf('multi_label_classification', ['a', 'b', 'c']);
const value = taskOf('regression', ['LABEL_0']);
const values = taskOf('regression', ['x', 'y']);

t.test('a task has the properties of a head and no others', (t) => {
  for (const problemType of problemTypes) {
    const task = taskOf(problemType, ['a', 'b']);
    t.same({ ...task }, { problemType, labels: ['a', 'b'], numLabels: 2 });
    t.equal(task.kind, taskKinds[problemType]);
    t.equal(asTask(task), task, 'as it is');
    t.equal(asTask({ problemType, labels: ['a', 'b'] }).describe(), task.describe(), 'from a description');
  }
  t.end();
});

t.test('the task that the number of labels implies', (t) => {
  t.same(
    [1, 2, 3].map(impliedProblemType),
    [value, single, single].map((task) => task.problemType),
  );
  t.end();
});

t.test('labels as the loss takes them', (t) => {
  const ids = [{ ids: [2] }, { ids: [] }, { ids: [0] }];
  t.same(single.collate(ids), Int32Array.of(2, -100, 0));
  t.same(multi.collate([{ ids: [2, 0] }, { ids: [] }]), Float32Array.of(1, 0, 1, 0, 0, 0));
  const soft = [{ values: [0.25, 0.25, 0.5] }, { values: [1, 0, 0] }];
  for (const task of [single, multi])
    t.same(task.collate(soft), Float32Array.of(0.25, 0.25, 0.5, 1, 0, 0), 'probabilities');
  t.same(value.collate([{ values: [3] }, { values: [-1] }]), Float32Array.of(3, -1));
  t.same(values.collate([{ values: [3, 4] }]), Float32Array.of(3, 4));
  t.same(single.collate([]), new Int32Array());

  t.same(single.classesOf(Int32Array.of(2, -100)), [[2], []]);
  t.same(single.classesOf(Float32Array.of(0.2, 0.5, 0.3)), [[1]], 'the most probable');
  t.same(multi.classesOf(Float32Array.of(1, 0.3, 0.7, 0, 0.5, 0)), [[0, 2], []], 'above one half');
  t.same(value.classesOf(Float32Array.of(1, 2)), [[], []], 'numbers have none');
  t.end();
});

t.test('the divisor of a loss is that of torch’s mean', (t) => {
  const classes = Int32Array.of(2, -100, 0, 0);
  t.equal(single.lossDivisor(classes), 3);
  t.equal(
    single.lossDivisor(classes, Float32Array.of(0.5, 9, 2)),
    3,
    'the weights of the labels: 2 + 0.5 + 0.5',
  );
  const soft = Float32Array.of(0.25, 0.25, 0.5, 1, 0, 0);
  t.equal(single.lossDivisor(soft), 2, 'rows');
  t.equal(single.lossDivisor(soft, Float32Array.of(0.5, 9, 2)), 2, 'for probabilities also with weights');
  t.equal(multi.lossDivisor(soft), 6);
  t.equal(values.lossDivisor(Float32Array.of(1, 2, 3, 4)), 4);
  t.end();
});

t.test('strata', (t) => {
  const parts = (...all: Targets[]): Targets[] => all;
  t.same(single.strata(parts(Int32Array.of(2, 0), Int32Array.of(2))), [2, 0, 2]);
  t.same(single.strata(parts(Float32Array.of(0.1, 0.8, 0.1))), [1]);
  const hot = Float32Array.of(1, 0, 1, /**/ 0, 1, 0, /**/ 1, 0, 1, /**/ 0, 0, 0);
  const [first, rare, again, other] = Array.from(multi.strata(parts(hot.subarray(0, 6), hot.subarray(6))));
  t.equal(first, again, 'equal combinations, in whatever batch');
  t.equal(rare, other, 'combinations of one row go together');
  t.not(first, rare);
  const numbers = Float32Array.from({ length: 40 }, (_, i) => (i * 7) % 40);
  t.same(
    Array.from(value.strata(parts(numbers))),
    Array.from(numbers, (number) => Math.floor(number / 4)),
    'deciles',
  );
  const pairs = Float32Array.from(Array.from(numbers).flatMap((number) => [number, -number]));
  t.same(
    Array.from(values.strata(parts(pairs))),
    Array.from(value.strata(parts(numbers))),
    'of the first value',
  );
  t.end();
});

t.test('predictions', (t) => {
  const logits = [Math.log(1), Math.log(2), Math.log(5)];
  const close = (found: Record<string, number>, wanted: number[]): boolean =>
    Object.values(found).every((p, i) => Math.abs(p - (wanted[i] ?? 9)) < 1e-15);
  const one = single.decode(logits);
  t.same([one.label, Object.keys(one.probabilities)], ['c', ['a', 'b', 'c']]);
  t.ok(close(one.probabilities, [1 / 8, 2 / 8, 5 / 8]), 'softmax');
  t.equal(one.score, Math.max(...Object.values(one.probabilities)));
  const several = multi.decode(logits);
  for (const task of [single, multi, value])
    for (const broken of [Number.NaN, Infinity, -Infinity])
      t.throws(() => task.decode([broken, ...logits].slice(0, task.numLabels)), {
        name: 'RunError',
        message: /logits that are not finite.*weights are damaged/,
      });
  t.same(several.label, ['b', 'c'], 'a probability of one half is not above it');
  t.ok(close(several.probabilities, [1 / 2, 2 / 3, 5 / 6]), 'sigmoid');
  t.same(value.decode([0.5]), { label: 0.5, score: 0.5, probabilities: {} });
  t.same(values.decode([0.5, 2]), { label: [0.5, 2], score: 0.5, probabilities: {} });
  t.same(
    [single, multi, value, values].map(({ labelType }) => labelType),
    [
      { of: 'text', isList: false },
      { of: 'text', isList: true },
      { of: 'number', isList: false },
      { of: 'number', isList: true },
    ],
  );
  t.end();
});

t.test('which data a model of the task can be compared with', (t) => {
  const yes = [
    [single, single],
    [single, taskOf('single_label_classification', ['a', 'b'])],
    [single, taskOf('single_label_classification', ['LABEL_0', 'LABEL_1', 'LABEL_2'])],
    [single, Int32Array.of(1)],
    [single, Float32Array.of(0.2, 0.3, 0.5)],
    [single, Float32Array.of(0.33, 0.33, 0.33)],
    [multi, multi],
    [multi, Float32Array.of(1, 1, 0)],
    [values, Float32Array.of(5, -5)],
    [value, taskOf('regression', ['score'])],
  ] as const;
  for (const [model, data] of yes) t.ok(model.accepts(data), JSON.stringify([model, data]));
  const no = [
    [single, multi],
    [single, taskOf('single_label_classification', ['b', 'a'])],
    [single, taskOf('single_label_classification', ['a', 'b', 'c', 'd'])],
    [single, Int32Array.of(1, 2)],
    [single, Float32Array.of(1, 1, 0)],
    [single, Float32Array.of(0.5, 0.5)],
    [multi, taskOf('multi_label_classification', ['a', 'b'])],
    [multi, Int32Array.of(1)],
    [multi, Float32Array.of(1)],
    [value, values],
    [value, Int32Array.of(1)],
    [values, Float32Array.of(1)],
  ] as const;
  for (const [model, data] of no) t.notOk(model.accepts(data), JSON.stringify([model, data]));
  t.end();
});

t.test('nothing outside of tasks/ looks at a problem type', (t) => {
  const source = join(import.meta.dirname, '../../src');
  const quoted = new RegExp(`['"\`](?:${problemTypes.join('|')})['"\`]`);
  const files = readdirSync(source, { recursive: true, encoding: 'utf8' }).filter(
    (path) => path.endsWith('.ts') && !path.startsWith('tasks/') && !path.startsWith('native/'),
  );
  // But for examples in comments, and the generated types of the options.
  const code = (path: string): string =>
    readFileSync(join(source, path), 'utf8').replaceAll(/^ *\*.*$/gm, '');
  t.same(
    files.filter((path) => path !== 'options/values.ts' && quoted.test(code(path))),
    [],
  );
  t.end();
});
