// Configuration files: in three cases, JSON and YAML, and what is wrong with one, by line and column.
import { join } from 'node:path';

import tap from 'tap';

import { parseTrainOptions, readConfigFile } from '../../dist/options/index.js';
import { fault, fromFile, run } from '../fixtures/config.js';

await tap.test('a file in JSON or YAML, in three cases, and flags over it', (t) => {
  const wanted = {
    model: 'm',
    trainFile: ['a.csv', 'b.csv'],
    learningRate: 2e-5,
    loadBestModelAtEnd: false,
    seed: 7,
  };
  const files: [string, string][] = [
    [
      'a.json',
      '{\n\t"model": "m", "trainFile": ["a.csv", "b.csv"],\n\t"outputDir": "o", "learningRate": 2e-5, "loadBestModelAtEnd": false, "seed": 7, "evalSteps": null}',
    ],
    [
      'b.json',
      '\ufeff{"model": "m", "train_file": ["a.csv", "b.csv"], "output_dir": "o", "learning_rate": 0.00002, "load_best_model_at_end": false, "seed": 7,} # comment',
    ],
    [
      'c.yaml',
      'model: m\ntrain-file:\n  - a.csv\n  - b.csv\noutput-dir: o\nlearning-rate: 2e-5\nload-best-model-at-end: false\nseed: 7\n',
    ],
    [
      'd.yml',
      '# comment\nMODEL: m\ntrain_file: [a.csv, b.csv]\noutputDir: o\nlearning_rate: 2.0E-5\nload_best_model_at_end: False\nseed: 7\n',
    ],
  ];
  for (const [path, text] of files) t.match(fromFile(path, text).options, wanted, path);

  const file = {
    path: 'e.yaml',
    text: 'model: m\ntrain_file: [a.csv]\noutput_dir: o\nlearning_rate: 2e-5\nseed: 7\n',
  };
  const flags = { learningRate: '1e-4', trainFile: ['z.csv'], seed: '8', loadBestModelAtEnd: 'False' };
  const over = parseTrainOptions({
    file,
    values: { seed: 9, weightDecay: 0.01 },
    flags,
  }).options;
  t.match(over, {
    model: 'm',
    learningRate: 1e-4,
    trainFile: ['z.csv'],
    seed: 8,
    weightDecay: 0.01,
    outputDir: 'o',
  });
  t.same(
    fromFile('l.yaml', 'model: m\ntrain_file: a.csv\noutput_dir: o\nlabel_list: [0, 1]').options.labelList,
    ['0', '1'],
  );
  t.end();
});

await tap.test('faults of a file are reported with file, line and column', (t) => {
  const rest = '"trainFile": "a.csv", "outputDir": "o"';
  const table: [string, string, string][] = [
    [
      'x.json',
      `{"model": "m", ${rest},\n  "learning_rat": 1}`,
      'x.json:2:3: unknown option learning_rat (did you mean learning_rate?)',
    ],
    [
      'x.json',
      `{"model": "m", ${rest},\n  "leraningRate": 1}`,
      'x.json:2:3: unknown option leraningRate (did you mean learningRate?)',
    ],
    [
      'x.yaml',
      'model: m\ntrain-file: a\noutput-dir: o\nper-device-train-batchsize: 3',
      'x.yaml:4:1: unknown option per-device-train-batchsize (did you mean per-device-train-batch-size?)',
    ],
    [
      'x.json',
      `{"model": "m", ${rest},\n  "learning_rate": "5e-5"}`,
      'x.json:2:20: Expected a number above 0 for learning_rate but received "5e-5"',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\nlearning_rate: .nan',
      'x.yaml:4:16: Expected a number above 0 for learning_rate but received NaN',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\nlearning_rate: .inf',
      'x.yaml:4:16: Expected a number above 0 for learning_rate but received Infinity',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}, "maxSteps": 1.5}`,
      'x.json:1:68: Expected a whole number of at least 1, or -1 for maxSteps but received 1.5',
    ],
    [
      'x.json',
      `{"model": {"name": "m"}, ${rest}}`,
      'x.json:1:11: Expected a text for model but received an object',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}, "trainFile": "b"}`,
      'x.json:1:56: not valid JSON: Map keys must be unique',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}, "output_dir": "p"}`,
      'x.json:1:56: outputDir and output_dir set the same option; keep one of them',
    ],
    [
      'x.json',
      `{"model": "m", ${rest}\n  "seed": 1}`,
      'x.json:2:3: not valid JSON: Missing , between flow map items',
    ],
    [
      'x.json',
      `{"seed": 1\n  "model": "m", ${rest}}`,
      'x.json:1:10: not valid JSON: Expected a quoted text, a number, true, false or null but found 1 "model"',
    ],
    [
      'x.json',
      `{// the model\n"model": "m"}`,
      'x.json:1:2: not valid JSON: Expected a quoted text, a number, true, false or null but found // the model "model"; a comment starts with #',
    ],
    [
      'x.json',
      '{"model": m}',
      'x.json:1:11: not valid JSON: Expected a quoted text, a number, true, false or null but found m',
    ],
    [
      'x.json',
      '["model"]',
      'x.json:1:1: Expected an object of options, such as {"model": "bert-base-uncased"}',
    ],
    ['x.yaml', '', 'x.yaml:1:1: Expected an object of options, such as {"model": "bert-base-uncased"}'],
    [
      'x.yaml',
      'model: m: n',
      'x.yaml:1:8: not valid YAML: Nested mappings are not allowed in compact mappings',
    ],
    [
      'x.yaml',
      'model: !!js/function m',
      'x.yaml:1:8: not valid YAML: Unresolved tag: tag:yaml.org,2002:js/function',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\neval_strategy: epoch',
      'x.yaml:4:1: eval_strategy epoch needs --validation-file or --validation-split: there are no rows to evaluate on',
    ],
    [
      'x.yaml',
      'model: m\ntrain_file: a\noutput_dir: o\nwarmup_ratio: 10',
      'x.yaml:4:15: Expected a number from 0 to below 1 for warmup_ratio but received 10',
    ],
  ];
  for (const [path, text, wanted] of table)
    t.equal(
      fault(() => fromFile(path, text)),
      wanted,
      text,
    );
  const two = fault(() => fromFile('x.json', `{"model": "m", ${rest},\n"sed": 1,\n"maxSteps": 0}`));
  t.equal(
    two,
    '2 problems with the options:\n  x.json:2:1: unknown option sed (did you mean seed?)\n  x.json:3:13: Expected a whole number of at least 1, or -1 for maxSteps but received 0',
  );
  t.end();
});

await tap.test('a file that cannot be read', async (t) => {
  const dir = t.testdir({
    'latin1.yaml': Buffer.from([0x61, 0x3a, 0xe9]),
    'folder.json': {},
    'bom.json': '\ufeff{}',
  });
  const read = async (name: string): Promise<string> => {
    try {
      return `text ${JSON.stringify((await readConfigFile(join(dir, name))).text)}`;
    } catch (error) {
      return String(error).replaceAll(`${dir}/`, '');
    }
  };
  t.equal(
    await read('none.json'),
    'UsageError: Cannot read the configuration file none.json: there is no such file or folder',
  );
  t.equal(
    await read('folder.json'),
    'UsageError: Cannot read the configuration file folder.json: it is a folder, not a file; name a file in it',
  );
  t.equal(
    await read('latin1.yaml'),
    'UsageError: Cannot read the configuration file latin1.yaml: it is not UTF-8 text',
  );
  t.equal(
    await read('a.csv'),
    'UsageError: Expected a configuration file (.json, .yaml or .yml) but received a.csv; data is given with --train-file',
  );
  t.equal(await read('bom.json'), 'text "{}"');
});

await tap.test('a configuration file through the program, paths relative to the working folder', (t) => {
  const dir = t.testdir({ sub: { 'run.yaml': 'model: m\ntrain_file: a.csv\noutput_dir: o\nseed: x\n' } });
  t.same(run(['train', 'sub/run.yaml'], dir), {
    code: 2,
    stdout: '',
    stderr:
      'bertune: sub/run.yaml:4:7: Expected a whole number from 0 to 4294967295 for seed but received "x"\n',
  });
  const missing = run(
    ['train', 'sub/run.yaml', '--seed', '1', '--model', join(dir, 'nowhere'), '--evaluation_strategy', 'no'],
    dir,
  );
  t.match(missing.stderr, /^note: --evaluation-strategy is called --eval-strategy here\n/);
  t.not(missing.code, 0);
  t.end();
});
