// Labels: the task that follows from them, their map and order, and remarks on those that are probably not meant.

import t from 'tap';

import { inferTask, labelArray, sortLabels } from '../../dist/data/index.js';
import type { TaskDescription } from '../../dist/tasks/index.js';
import { type Overrides, openContent, refusal, labelled } from '../fixtures/splits.js';

void t.test('the task follows from the labels', async (test) => {
  const single = 'single_label_classification';
  const multi = 'multi_label_classification';
  const cases: [labels: unknown[], kind: string, type: string, map: string[], overrides?: Overrides][] = [
    [['b', 'a', 'b'], 'string', single, ['a', 'b']],
    [[1, 0, 1], 'integer', single, ['0', '1']],
    [['1', '0'], 'integer', single, ['0', '1']],
    [[10, 9, 2], 'integer', single, ['2', '9', '10']],
    [[true, false], 'string', single, ['false', 'true']],
    [[1, 'one'], 'string', single, ['1', 'one']],
    [[0.5, 1], 'float', 'regression', ['LABEL_0']],
    [['5.0', '4.75'], 'float', 'regression', ['LABEL_0']],
    [[...Array.from({ length: 70_000 }, (_, i) => i % 5), 1.5], 'float', 'regression', ['LABEL_0']],
    [['1e-3', '2'], 'float', 'regression', ['LABEL_0']],
    [[1, 2], 'float', 'regression', ['LABEL_0'], { problemType: 'regression' }],
    [['1.0', '2.0'], 'integer', single, ['1', '2'], { problemType: single }],
    [['1.0', '2.5'], 'string', single, ['1', '2.5'], { problemType: single }],
    [[['b', 'a'], [], ['c']], 'list', multi, ['a', 'b', 'c']],
    [[[1, 0], [2]], 'list', multi, ['0', '1', '2']],
    [['b|a', 'c'], 'list', multi, ['a', 'b', 'c'], { problemType: multi }],
    [['b; a', 'c'], 'list', multi, ['a', 'b', 'c'], { problemType: multi, labelDelimiter: ';' }],
    [['b|a', 'c'], 'string', single, ['b|a', 'c']],
    [[-1, 0, 1], 'integer', single, ['-1', '0', '1'], { knownLabels: ['-1', '0', '1'] }],
  ];
  for (const [labels, kind, problemType, map, overrides] of cases) {
    const split = await labelled(test, labels, overrides);
    const name = JSON.stringify(labels).slice(0, 40);
    test.equal(split.labelKind, kind, name);
    test.same(
      inferTask([split], { forTraining: true }),
      { problemType, labels: map, numLabels: map.length },
      name,
    );
  }
  const late = await labelled(test, [...Array.from({ length: 70_000 }, (_, i) => i % 5), 1.5]);
  const scores = labelArray(late, inferTask([late]));
  test.same(
    [scores[69_999], scores[70_000]],
    [4, 1.5],
    'integers before the first decimal keep their values',
  );
});

void t.test('the label map', async (test) => {
  const train = await labelled(test, ['b', 'a']);
  const validation = await labelled(test, ['c', 'a'], { name: 'validation' });
  const task = inferTask([train, validation], { forTraining: true });
  test.same(task.labels, ['a', 'b', 'c'], 'union of the splits');
  test.same(labelArray(validation, task), Int32Array.from([2, 0]));
  test.same(inferTask([train], { labelList: ['b', 'z', 'a'] }).labels, ['b', 'z', 'a']);

  const integers = await labelled(test, [1, 0, 1]);
  const named = inferTask([integers], { modelLabels: ['negative', 'positive'] });
  test.same(
    [named.labels, labelArray(integers, named)],
    [['negative', 'positive'], Int32Array.from([1, 0, 1])],
  );
  test.same(
    labelArray(integers, inferTask([integers], { problemType: 'regression' })),
    Float32Array.from([1, 0, 1]),
  );

  const refused = (run: () => unknown, message: RegExp): void => {
    test.throws(run, { name: 'UsageError', message });
  };
  refused(
    () => inferTask([validation], { modelLabels: ['a', 'b'] }),
    /labels-\d+\.jsonl line 1, column "label": the label "c" is unknown; expected "a", "b"$/,
  );
  refused(() => inferTask([integers], { labelList: ['one'] }), /the label "1" is unknown/);
  refused(() => inferTask([train], { labelList: ['a', 'b', 'a'] }), /names "a" twice/);
  refused(() => inferTask([train], { problemType: 'regression' }), /are text, which does not fit regression/);
  const lists = await labelled(test, [['a']]);
  refused(() => inferTask([lists, train]), /Some splits hold lists of labels and others single labels/);
  const one = await labelled(test, ['a', 'a']);
  refused(() => inferTask([one], { forTraining: true }), /only one class, "a" \(column "label"\)/);
  refused(
    () => inferTask([one, validation], { forTraining: true }),
    /The train data hold only one class, "a"/,
  );
  test.same(inferTask([one]).labels, ['a'], 'evaluation may have one class');
  const unlabelled = await labelled(test, ['a'], { needsLabels: false });
  refused(() => inferTask([unlabelled]), /no labels/);
  refused(() => labelArray(unlabelled, task), /opened without labels/);
  const other: TaskDescription = { problemType: 'single_label_classification', labels: ['x'] };
  refused(() => labelArray(train, other), /the label "b" is unknown; expected "x"$/);
});

void t.test('labels sort as Python sorts strings, integers as numbers', async (test) => {
  // sorted(['b', 'B', 'é', 'a', '\uff5e', '\U0001f600', '10', '9']) in Python
  const python = ['10', '9', 'B', 'a', 'b', 'é', '\uff5e', '\u{1f600}'];
  test.same(sortLabels(python.toReversed()), python);
  test.same(sortLabels(['10', '9', '-1', '0']), ['-1', '0', '9', '10']);
});

void t.test('maxSamples cuts rows, not the check and not the label map', async (test) => {
  const content = 'text,label\na,x\nb,x\nc,y\n';
  const split = await openContent(test, 'cut.csv', content, { maxSamples: 2 });
  test.same([split.size, split.labelValues], [2, ['x', 'y']]);
  test.same(split.notes, ['The first 2 rows all have the label "x"; the file seems to be sorted by label']);
  test.equal(labelArray(split, inferTask([split])).length, 2);
  await test.rejects(split.read([2]), { message: 'Expected a row from 0 to 1 but received 2' });
  await test.rejects(split.read([-1]), RangeError);
  test.equal((await openContent(test, 'cut.csv', content, { maxSamples: 9 })).size, 3);
  test.match(await refusal(test, 'cut.csv', content, { maxSamples: 0 }), /Expected a whole number above 0/);
  test.match(await refusal(test, 'cut.csv', `${content}d,\n`, { maxSamples: 2 }), /cut\.csv line 5/);
});

void t.test('labels of another model than the one to train', async (test) => {
  const content = 'text,label\na,ham\nb,spam\n';
  const known = { knownLabels: ['yes', 'no'] };
  test.match(
    await refusal(test, 'other.csv', content, known),
    /\nIf these are labels too, name all labels with labelList$/,
  );
  const some = await refusal(test, 'some.csv', `${content},yes\n`, known);
  test.notMatch(some, /labelList/, 'a bad row of another kind');
  test.notMatch(await refusal(test, 'eval.csv', content, { ...known, name: 'validation' }), /labelList/);
});

void t.test('notes on labels that are probably not meant', async (test) => {
  const joined = await labelled(test, ['b|a', 'c']);
  test.match(joined.notes.join(), /"b\|a" is taken as one name; problemType multi_label_classification/);
  const alike = await labelled(test, ['Spam', 'spam ', 'ham']);
  test.same(alike.notes, [
    'The labels "Spam" and "spam " differ only in case and white space; foldLabels makes them one',
  ]);
  test.same((await labelled(test, ['a', 'b'])).notes, []);
  const mixed = await labelled(test, [true, 'TRUE', 1, 0]);
  test.match(mixed.notes.join(), /truth values and numbers are different labels; write one kind/);
  const blanks = await labelled(test, [' spam', ' ham', 'eggs']);
  test.same(blanks.notes, [
    '2 labels begin or end with white space, such as " ham"; foldLabels leaves it off',
  ]);
  const folded = await labelled(test, [' spam', ' ham', 'eggs'], { foldLabels: true });
  test.same([folded.notes, folded.labelValues], [[], ['eggs', 'ham', 'spam']]);
  const lists = await openContent(test, 'lists.csv', 'text,label\na,"[0, 1]"\nb,x\n');
  test.match(lists.notes.join(), /"\[0, 1\]" is taken as one name, since other rows hold no list/);
  const words = await labelled(test, ['pos', 'NaN', 'None', 'none']);
  test.match(
    words.notes.join(),
    /^"NaN" \(1 row\) and "None" \(1 row\) are labels here; .* naLabels "NaN" "None" leaves them out/,
  );
  test.same((await labelled(test, ['none', 'some'])).notes, []);
  const multi = { problemType: 'multi_label_classification' } as const;
  const none = await openContent(test, 'none.csv', 'text,label\na,x|y\nb,\n', multi);
  test.same([none.labels?.at(0), none.labels?.at(1)], [['x', 'y'], []], 'the empty list, as CSV writes it');
  test.same(none.notes, ['1 row has no label: an example of none of them']);
  const decimals = 'text,label\na,1.0\nb,0.0\n';
  const scores = await openContent(test, 'scores.csv', decimals);
  test.match(scores.notes.join(), /whole numbers written as decimals, such as 1\.0, and taken as scores/);
  const asked = await openContent(test, 'asked.csv', decimals, { problemType: 'regression' });
  test.same(asked.notes, []);
  test.same((await openContent(test, 'half.csv', `${decimals}c,0.5\n`)).notes, []);
  const own = Array.from({ length: 10 }, (_, i) => `sentence ${i}`);
  const note = 'Each of the 10 rows has a label of its own; is this the column of the labels?';
  test.same((await labelled(test, own)).notes, [note]);
  test.same((await labelled(test, [...own, 'sentence 1'])).notes, []);
  test.same((await labelled(test, own.slice(1))).notes, [], 'as few rows as a first try has');
});
