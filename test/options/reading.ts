// What of a training's options is saved with a model, and what evaluate and predict make of it.
import t from 'tap';

import {
  evaluateCommand,
  parseEvaluateOptions,
  parsePredictOptions,
  predictCommand,
  readingSettings,
  trainCommand,
  withReading,
  type PredictOptions,
} from '../../dist/options/index.js';

const pairOf = { textPairColumn: 'description' };
const columns = { text: 'title', textPair: 'description', label: 'grade' };

function predictOptions(flags: Record<string, unknown>): PredictOptions {
  return parsePredictOptions({ flags: { model: 'out', testFile: 'x.csv', ...flags } }).options;
}

t.test('every option that training and scoring share decides what is read, or does not', (t) => {
  const scoring = { ...evaluateCommand.options, ...predictCommand.options };
  const shared = Object.entries(trainCommand.options).filter(([name]) => Object.hasOwn(scoring, name));
  const others = shared.filter(([, { reading }]) => reading !== true).map(([name]) => name);
  // Where things are, how much of them, and with what means: nothing that changes how a row is read.
  const means = new Set(
    [
      'model modelRevision baseModel tokenizer task problemType validationFile dataset datasetConfig validationSplit badRows',
      'maxCompressionRatio maxEvalSamples perDeviceEvalBatchSize outputDir device dtype tf32 threads nproc ddpTimeout',
      'dataloaderNumWorkers verbose quiet json report reportTexts',
    ].flatMap((names) => names.split(' ')),
  );
  t.same(
    others.filter((name) => !means.has(name)),
    [],
    'a new option of both says `reading: true` in the table, or stands in this list',
  );
  t.end();
});

t.test('what is saved: the columns in use, and what differs from the defaults', (t) => {
  const options = { quoting: 'none', maxSeqLength: 32, maxRowBytes: 2 ** 24, softLabels: false } as const;
  t.same(readingSettings({ ...options, learningRate: 1 }, columns), {
    textColumn: 'title',
    textPairColumn: 'description',
    labelColumn: ['grade'],
    quoting: 'none',
    maxSeqLength: 32,
  });
  t.same(readingSettings({}, { text: 'text', textPair: null, label: null }), { textColumn: 'text' });
  t.end();
});

t.test('what was not given is as in the training; a flag wins', (t) => {
  const trained = readingSettings({ quoting: 'none' }, columns);
  const plain = withReading(predictCommand, predictOptions({}), trained, 'out');
  t.match(plain.options, { textColumn: 'title', textPairColumn: 'description', quoting: 'none' });
  t.notOk('labelColumn' in plain.options, 'predict reads no labels');
  t.same(plain.notes, [
    'note: read as in the training: --text-column title --text-pair-column description --quoting none',
  ]);
  const given = withReading(predictCommand, predictOptions({ quoting: 'minimal' }), trained, 'out');
  t.equal(given.options.quoting, 'minimal', 'also where it is the default of a training');
  t.match(given.notes[1], 'note: other than in the training: --quoting minimal in place of --quoting none');
  const same = withReading(predictCommand, predictOptions({ textColumn: 'title' }), trained, 'out');
  t.equal(same.notes.length, 1, 'the same value is worth no note');
  const evaluated = withReading(
    evaluateCommand,
    parseEvaluateOptions({ flags: { model: 'out', validationFile: 'x.csv' } }).options,
    { labelColumn: ['a b', 'c'], labelDelimiter: ';' },
    'out',
  );
  t.same(evaluated.options.labelColumn, ['a b', 'c']);
  t.same(evaluated.notes, ['note: read as in the training: --label-column "a b" c --label-delimiter ";"']);
  const ofLists = { labelColumn: ['soft'], labelFormat: 'probabilities', quoting: 'none' };
  const otherColumn = { model: 'out', validationFile: 'x.csv', labelColumn: 'gold' };
  const { options } = withReading(
    evaluateCommand,
    parseEvaluateOptions({ flags: otherColumn }).options,
    ofLists,
    'out',
  );
  t.match(options, { labelColumn: ['gold'], quoting: 'none' });
  t.equal(options.labelFormat, undefined, 'another column of labels has a form of its own');
  t.same(withReading(predictCommand, predictOptions({}), {}, 'out').notes, [], 'a model of others');
  t.end();
});

t.test('what is tied to a setting goes with it', (t) => {
  const evaluated = (flags: Record<string, unknown>, trained: Record<string, unknown>): object => {
    const all = { model: 'out', validationFile: 'x.csv', ...flags };
    return withReading(evaluateCommand, parseEvaluateOptions({ flags: all }).options, trained, 'out').options;
  };
  const soft = { labelColumn: ['a', 'b'], softLabels: true };
  t.match(evaluated({}, soft), { softLabels: true });
  t.notOk('softLabels' in evaluated({ labelFormat: 'multi_hot' }, soft), 'another form of label');
  const lists = { labelColumn: ['tags'], labelFormat: 'names', labelDelimiter: ';' };
  const asSoft = evaluated({ softLabels: true }, lists);
  t.notOk('labelFormat' in asSoft || 'labelDelimiter' in asSoft);
  t.match(evaluated({ labelDelimiter: '|' }, lists), { labelFormat: 'names', labelDelimiter: '|' });

  const pair = { textColumn: 'title', textPairColumn: 'text' };
  t.notOk('textPairColumn' in evaluated({ textColumn: 'text' }, pair), 'one column is not both texts');
  t.match(evaluated({ textColumn: 'body' }, pair), { textColumn: 'body', textPairColumn: 'text' });
  t.notOk('textColumn' in evaluated({ textPairColumn: 'title' }, pair));

  const windows = { textColumn: 'text', stride: 2, pooling: 'max' };
  t.match(
    evaluated({ pooling: 'mean' }, windows),
    { stride: 2, pooling: 'mean' },
    'the stride is that saved',
  );
  t.end();
});

t.test('none sets aside what has no other word for that, and a default that is not used is a note', (t) => {
  const trained = {
    ...pairOf,
    textColumn: 'title',
    stride: 2,
    pooling: 'max',
    jsonField: 'data',
    escape: '\\',
  };
  const off = { textPairColumn: 'none', stride: 'none', jsonField: 'none', escape: 'none' };
  const { options, notes } = withReading(predictCommand, predictOptions(off), trained, 'out');
  for (const name of ['textPairColumn', 'stride', 'pooling', 'jsonField', 'escape'])
    t.notOk(name in options, name);
  t.match(notes[1], '--stride none in place of --stride 2');
  t.throws(() => predictOptions({ stride: 'some' }), {
    message: 'Expected a whole number of at least 0, or none for --stride but received "some"',
  });

  const plain = { textColumn: 'text' };
  const quoted = withReading(predictCommand, predictOptions({ quoting: 'none' }), plain, 'out');
  t.match(quoted.notes[1], 'note: other than in the training: --quoting none in place of --quoting minimal');
  const same = withReading(predictCommand, predictOptions({ quoting: 'minimal' }), plain, 'out');
  t.equal(same.notes.length, 1);
  t.same(withReading(predictCommand, predictOptions({ quoting: 'none' }), {}, 'out').notes, [], 'of others');
  t.end();
});

t.test('settings that are not understood are refused', (t) => {
  for (const settings of [{ quoting: 'some' }, { textColumn: 7 }, { learningRate: 1 }, { fieldOrder: 'x' }])
    t.throws(() => withReading(predictCommand, predictOptions({}), settings, 'out'), {
      name: 'UsageError',
      message: new RegExp(`^out: bertune_reading.json has ${Object.keys(settings)[0]}`),
    });
  t.end();
});
