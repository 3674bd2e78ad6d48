// training_options.json and best.json: what decides the run first, the rest below, and the same run from the file.
import tap from 'tap';
import { configOf, parseTrainOptions, type TrainOptions } from '../../dist/options/index.js';
import { fromFile, job } from '../fixtures/config.js';

function first(config: Record<string, unknown>, until: string): string[] {
  const names = Object.keys(config);
  return names.slice(0, names.indexOf(until));
}

tap.test('what decides the run is first', (t) => {
  const { options } = parseTrainOptions({
    flags: { ...job, learningRate: '2e-5', seed: '42', dtype: 'auto' },
  });
  const config = configOf(options);
  t.same(first(config, 'labelAllTokens'), ['model', 'trainFile', 'learningRate', 'outputDir']);
  t.same(config, options, 'all options are there');
  t.equal(config['seed'], 42);
  const filledIn = parseTrainOptions({
    flags: {
      ...job,
      validationFile: ['b.csv'],
      evalStrategy: 'steps',
      saveStrategy: 'steps',
      loadBestModelAtEnd: 'true',
    },
  }).options;
  t.match(filledIn, { metricForBestModel: 'loss', greaterIsBetter: false, evalSteps: 500 });
  const names = first(configOf(filledIn), 'labelAllTokens');
  t.same(
    names,
    ['model', 'trainFile', 'validationFile', 'evalStrategy', 'loadBestModelAtEnd', 'outputDir'],
    'not what follows from them',
  );
  t.end();
});

tap.test('the same run, whatever its options', (t) => {
  const runs: Record<string, unknown>[] = [
    { lrSchedulerType: 'polynomial', lrSchedulerKwargs: '{"power": 2}', warmupSteps: '0.1' },
    {
      lrFactors: ['classifier=10'],
      freeze: ['bert.embeddings'],
      layerLrDecay: '2.6',
      gradualUnfreezing: 'epoch',
    },
    {
      classWeights: ['balanced'],
      reportTo: ['csv', 'jsonl'],
      badRows: 'skip',
      quoting: 'none',
      labelList: ['0', '1'],
    },
    {
      classWeights: ['1', '2'],
      validationSplit: '0.1',
      evalStrategy: 'epoch',
      metricForBestModel: 'eval_accuracy',
    },
    { loraRank: '4', loraTargetModules: ['query'], maxSteps: '7', reportTo: ['none'], softLabels: 'true' },
    { resumeFromCheckpoint: 'true' },
  ];
  for (const run of runs) {
    const { options, notes } = parseTrainOptions({ flags: { ...job, ...run } });
    const { resumeFromCheckpoint, ...repeated } = options;
    const again = fromFile('training_options.json', JSON.stringify(configOf(options)));
    t.same(again, { options: repeated, notes }, JSON.stringify(run));
    t.equal(resumeFromCheckpoint, run['resumeFromCheckpoint'] === undefined ? undefined : true);
    // As earlier versions wrote them.
    const old = fromFile('training_options.json', JSON.stringify(repeated satisfies Partial<TrainOptions>));
    t.same(old.options, repeated);
  }
  t.end();
});
