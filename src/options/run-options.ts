// What happens around the steps: evaluation, saving and logging, the device, and the search. Options of the table (see table.ts).
import {
  choice,
  choices,
  device,
  integer,
  list,
  notNegative,
  real,
  someOf,
  steps,
  text,
  toggle,
} from './kinds.js';
import {
  answering,
  everywhere,
  inGroup,
  optional,
  scoring,
  together,
  trainers,
  training,
  withDefault,
} from './option.js';
import { thresholdModes } from '../evaluation/tuning.js';
import { LAST_OPSET, onnxDtypes, OPSET, USUAL_DTYPES } from '../onnx/settings.js';
import { formatNames } from '../predictions/formats.js';

const when = choice(['no', 'steps', 'epoch']);

/** What huggingface_hub's ModelCardData takes for a language. */
const LANGUAGE = /^(?:[a-z]{2,3}|multilingual|code)$/;
/** huggingface_hub's validate_repo_id, without the rules that src/hub/repo.ts names. */
const REPOSITORY = /^(?:[\w-][\w.-]*\/)?[\w-][\w.-]*$/;
const LICENSE = /^[a-z\d][a-z\d.-]*$/;

export const runOptions = {
  ...inGroup('Evaluation', {
    evalStrategy: withDefault(when, 'no', {
      commands: trainers,
      onResume: 'may-change',
      help: 'when to evaluate during training; given rows are always evaluated at the end',
    }),
    evalDelay: withDefault(notNegative, 0, {
      commands: trainers,
      onResume: 'may-change',
      help: 'no evaluation before this many epochs, or steps with --eval-strategy steps',
    }),
    evalOnStart: withDefault(toggle(), false, {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'evaluate before the first step as well',
    }),
    evalSteps: optional(steps({ allowZero: false }), {
      commands: trainers,
      onResume: 'may-change',
      help: 'with --eval-strategy steps: evaluate every N steps',
      otherwise: '--logging-steps',
    }),
    perDeviceEvalBatchSize: withDefault(integer(1), 8, {
      commands: [...trainers, ...scoring, 'inspect', 'export'],
      onResume: 'may-change',
      help: 'rows a batch in evaluation and prediction',
    }),
    metricForBestModel: optional(text('METRIC'), {
      commands: trainers,
      onResume: 'may-change',
      help: 'metric by which the best checkpoint is chosen, e.g. accuracy',
      otherwise: 'loss',
    }),
    greaterIsBetter: optional(toggle(), {
      commands: trainers,
      onResume: 'may-change',
      help: 'whether a greater metric is better',
      otherwise: 'known for each metric',
    }),
    loadBestModelAtEnd: withDefault(toggle(), false, {
      commands: trainers,
      onResume: 'may-change',
      help: 'save the weights of the best checkpoint, not those of the last step',
    }),
    earlyStoppingPatience: optional(integer(1), {
      commands: trainers,
      onResume: 'may-change',
      help: 'stop after this many evaluations in which the metric for the best model did not improve',
      otherwise: 'never',
    }),
    earlyStoppingThreshold: withDefault(notNegative, 0, {
      commands: trainers,
      onResume: 'may-change',
      help: 'an improvement of this or less does not count',
    }),
    crossValidation: optional(integer(2), {
      commands: ['train', 'inspect'],
      onResume: 'irrelevant',
      help: 'train N times, each time on all parts but one of N, stratified by label, and evaluate on that part; no model is saved',
      helpOf: {
        inspect: 'with --label-errors: the parts that are each predicted by a model trained on the others',
      },
      otherwise: 'one training; for --label-errors 5',
    }),
    labelErrors: withDefault(toggle(), false, {
      commands: ['inspect'],
      onResume: 'irrelevant',
      help: 'train on parts of the rows, and list the rows whose labels the predictions for the other parts contradict (confident learning, Northcutt et al. 2021)',
    }),
    outOfFold: optional(text('FILE'), {
      commands: ['inspect'],
      onResume: 'irrelevant',
      help: 'with --label-errors, in place of training: probabilities of the rows by models that have not seen them, such as out_of_fold.jsonl of a cross-validation',
    }),
    tuneThresholds: optional(choice(thresholdModes), {
      commands: ['evaluate'],
      onResume: 'irrelevant',
      help: 'for several labels a row: choose the probability above which a label is given by F1, and save it with the model',
      otherwise: 'one half, or what was tuned before',
    }),
    tuneTemperature: withDefault(toggle(), false, {
      commands: ['evaluate'],
      onResume: 'irrelevant',
      help: 'scale the probabilities so that the labels are most likely (Guo et al. 2017), and save that with the model',
    }),
  }),
  ...inGroup('Saving and logging', {
    outputDir: optional(text('DIR'), {
      commands: [...trainers, 'evaluate', 'init', 'merge', 'export'],
      neededBy: [...trainers, 'merge', 'export'],
      onResume: 'irrelevant',
      help: 'folder for the model, the checkpoints and the metrics',
      helpOf: {
        search: 'folder for the trials and the best options',
        evaluate: 'folder for the metrics',
        init: 'folder for the model, as the configuration names it',
        merge: 'folder for the model',
        export: 'folder for the model in ONNX: a new one, or that of an earlier export',
      },
    }),
    outputFile: optional(text('FILE'), {
      commands: ['predict', 'report', 'inspect'],
      onResume: 'irrelevant',
      help: 'file for the predictions; without it they go to standard output',
      helpOf: {
        inspect:
          'with --label-errors: file (.csv or .jsonl) for these rows, to be edited and given to train as --label-corrections',
        report:
          'file for the page, in place of report.html in the folder, or of two comparison.html in the first',
      },
    }),
    outputFormat: optional(choice(formatNames), {
      commands: ['predict'],
      onResume: 'irrelevant',
      help: 'how the predictions are written; parquet needs --output-file',
      otherwise: 'by the ending of --output-file, else jsonl; table on a terminal',
    }),
    predictionsFile: optional(text('FILE'), {
      commands: ['evaluate'],
      onResume: 'irrelevant',
      help: 'file (.csv or .jsonl, of tokens .jsonl) for text, gold label, prediction, score and loss of every row, worst first',
    }),
    formulaGuard: withDefault(toggle(), true, {
      commands: [...scoring, 'inspect'],
      onResume: 'irrelevant',
      help: 'in CSV, an apostrophe before texts that a spreadsheet would compute; --no-formula-guard writes them as they are',
    }),
    saveStrategy: withDefault(choice(['no', 'steps', 'epoch', 'best']), 'steps', {
      commands: trainers,
      onResume: 'may-change',
      help: 'when to write a checkpoint; best: whenever an evaluation was the best so far',
    }),
    saveSteps: withDefault(steps({ allowZero: false }), 500, {
      commands: trainers,
      onResume: 'may-change',
      help: 'with --save-strategy steps: a checkpoint every N steps',
    }),
    saveTotalLimit: optional(integer(1), {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'keep N checkpoints; the best and the newest are never removed',
      otherwise: 'all',
    }),
    saveOnlyModel: withDefault(toggle(), false, {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'checkpoints without the optimizer: a third of the size, but no run can resume from them',
    }),
    loggingStrategy: withDefault(when, 'steps', {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'when to log loss and learning rate',
    }),
    loggingSteps: withDefault(steps({ allowZero: false }), 500, {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'with --logging-strategy steps: log every N steps',
    }),
    loggingFirstStep: withDefault(toggle(), false, {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'log the first step as well',
    }),
    reportTo: withDefault(
      choices(['tensorboard', 'jsonl', 'csv'], 'a callback sends logs elsewhere, see examples/callbacks.ts'),
      [],
      {
        commands: trainers,
        onResume: 'irrelevant',
        help: 'also write the logs as they come, to files in the output folder',
      },
    ),
    modelCard: withDefault(toggle(), true, {
      commands: [...training, 'merge'],
      onResume: 'irrelevant',
      help: 'write README.md, a model card for the hub, beside the model; what you add to it stays in the next training',
    }),
    language: optional(list('CODE', 'codes of languages such as en or deu, multilingual or code', LANGUAGE), {
      commands: [...training, 'merge'],
      onResume: 'irrelevant',
      help: 'for the model card: language of the texts, by its ISO 639 code',
      otherwise: 'not named',
    }),
    license: optional(text('ID', "the hub's id of a licence, such as apache-2.0 or mit", LICENSE), {
      commands: [...training, 'merge'],
      onResume: 'irrelevant',
      help: "for the model card: licence of the model, by the hub's id",
      otherwise: 'not named',
    }),
    pushToHub: withDefault(toggle(), false, {
      commands: training,
      onResume: 'irrelevant',
      help: 'push the model to a repository of the hub; the token is that of HF_TOKEN or the token file',
      helpOf: { search: 'for the training with the best options: push its model to the hub' },
    }),
    hubModelId: optional(text('NAME', 'organization/name, or a name', REPOSITORY), {
      commands: training,
      onResume: 'irrelevant',
      help: "with --push-to-hub: the repository, as organization/name, or name for one of the token's account",
      otherwise: 'the name of --output-dir',
    }),
    hubStrategy: withDefault(choice(['end', 'every_save', 'checkpoint']), 'end', {
      commands: training,
      onResume: 'irrelevant',
      help: 'with --push-to-hub: also push each checkpoint in the background, its model (every_save), or all of it as last-checkpoint too (checkpoint)',
    }),
    hubPrivateRepo: optional(toggle(), {
      commands: training,
      onResume: 'irrelevant',
      help: 'with --push-to-hub: whether a new repository is private',
      otherwise: 'as its owner has set',
    }),
    hubRevision: optional(text('BRANCH'), {
      commands: training,
      onResume: 'irrelevant',
      help: 'with --push-to-hub: the branch, made from main where it is not there',
      otherwise: 'main',
    }),
    repo: optional(text('NAME', 'organization/name, or a name', REPOSITORY), {
      commands: ['push'],
      neededBy: ['push'],
      onResume: 'irrelevant',
      help: "the repository, as organization/name, or name for one of the token's account; made where it is not there",
    }),
    private: optional(toggle(), {
      commands: ['push'],
      onResume: 'irrelevant',
      help: 'whether a new repository is private; one that is public already is refused',
      otherwise: 'as its owner has set',
    }),
    revision: optional(text('BRANCH'), {
      commands: ['push'],
      onResume: 'irrelevant',
      help: 'the branch, made from main where it is not there',
      otherwise: 'main',
    }),
    commitMessage: withDefault(text('TEXT'), 'Upload model with bertune', {
      commands: ['push'],
      onResume: 'irrelevant',
      help: 'title of the commit',
    }),
    report: withDefault(toggle(), true, {
      commands: [...training, 'evaluate'],
      onResume: 'irrelevant',
      help: 'write report.html, a page with charts of the run, into the output folder, and its facts into report.json',
    }),
    reportTexts: withDefault(choice(['on', 'off']), 'on', {
      commands: [...training, 'evaluate', 'report'],
      onResume: 'irrelevant',
      help: 'whether the report shows the texts of the worst errors',
    }),
    live: withDefault(toggle(), false, {
      commands: training,
      onResume: 'irrelevant',
      help: 'serve the report on this machine while the training runs; its address is printed',
    }),
    livePort: optional(integer(1), {
      commands: training,
      onResume: 'irrelevant',
      help: 'with --live: the port of the report',
      otherwise: 'a free one',
    }),
    runs: optional(list('DIR', 'folders'), {
      commands: ['report'],
      neededBy: ['report'],
      onResume: 'irrelevant',
      help: 'output folders of a training, an evaluation or a search: one, or two to compare',
    }),
    configFile: withDefault(text('FILE'), 'bertune.yaml', {
      commands: ['init'],
      onResume: 'irrelevant',
      help: 'where the configuration is written',
    }),
    force: withDefault(toggle(), false, {
      commands: ['init'],
      onResume: 'irrelevant',
      help: 'replace a configuration that is there already',
    }),
    json: withDefault(toggle(), false, {
      commands: [...training, 'evaluate', 'predict', 'inspect'],
      onResume: 'irrelevant',
      help: 'print the result as JSON on a terminal too: one object, of predict one a line; a pipe always gets it',
    }),
    quiet: withDefault(toggle(), false, {
      commands: everywhere,
      onResume: 'irrelevant',
      help: 'print results, notes and errors only',
    }),
    verbose: withDefault(toggle(), false, {
      commands: everywhere,
      onResume: 'irrelevant',
      help: 'print more, and the stack of an error',
    }),
  }),
  ...inGroup('Device', {
    device: withDefault(device(), 'auto', {
      commands: [...trainers, ...answering, 'inspect'],
      onResume: 'may-change',
      help: 'where to compute: auto takes a CUDA device where there is one; cuda is the one that LOCAL_RANK names, else the first, cuda:1 the second',
    }),
    dtype: withDefault(choice(['auto', 'float32', 'bfloat16']), 'auto', {
      commands: [...trainers, ...answering, 'inspect'],
      onResume: 'may-change',
      help: 'precision of the computation, over float32 weights; auto takes bfloat16 where the device is good at it',
    }),
    tf32: optional(toggle(), {
      commands: [...trainers, ...answering, 'inspect'],
      onResume: 'may-change',
      help: 'on a CUDA device, whether float32 products may round their inputs to TF32: 10 bits of mantissa, several times faster',
      otherwise: "LibTorch's default, which is no",
    }),
    threads: optional(integer(1), {
      commands: [...trainers, ...answering, 'inspect'],
      onResume: 'may-change',
      help: 'CPU threads of the computation',
      otherwise: 'all cores',
    }),
    nproc: optional(integer(1, { max: 1024 }), {
      commands: together,
      onResume: 'irrelevant',
      help: 'work with N processes on this machine, each with a part of every batch, or of the batches; see docs/scaling.md',
      otherwise: 'one',
    }),
    ddpTimeout: withDefault(
      real('above 0', (n) => n > 0 && n < 1e9),
      600,
      {
        commands: [...training, ...scoring],
        onResume: 'irrelevant',
        help: 'of several processes, the seconds after which one that does not answer counts as gone',
      },
    ),
    dataloaderNumWorkers: withDefault(integer(0), 1, {
      commands: [...trainers, ...answering, 'inspect'],
      onResume: 'irrelevant',
      help: 'threads that tokenize ahead of the training step; 0 tokenizes between the steps',
    }),
  }),
  ...inGroup('Export', {
    dtypes: withDefault(someOf(onnxDtypes), [...USUAL_DTYPES], {
      commands: ['export'],
      onResume: 'irrelevant',
      help: 'the files to write, by the names of transformers.js: float32 and 8 bits are what it takes in Node and in browsers',
    }),
    opset: withDefault(integer(OPSET, { max: LAST_OPSET }), OPSET, {
      commands: ['export'],
      onResume: 'irrelevant',
      help: "the version of ONNX's operators",
    }),
    maxMetricDrop: optional(notNegative, {
      commands: ['export'],
      onResume: 'irrelevant',
      help: 'points of accuracy, micro F1 or R2 that a file may lose on the rows of --validation-file; with more it is left out',
      otherwise: '1',
    }),
    keepFloat: optional(list('NAME', 'auto, or names or patterns of tensors'), {
      commands: ['export'],
      onResume: 'irrelevant',
      help: 'layers that stay float32 in q8 and q4, e.g. bert.encoder.layer.0; auto: as few as make a file fit that is not',
      otherwise: 'pooler and classifier',
    }),
  }),
  ...inGroup('Search', {
    nTrials: withDefault(integer(1), 20, {
      commands: ['search'],
      onResume: 'irrelevant',
      help: 'trainings to try, earlier ones of the same search included',
    }),
    sampler: withDefault(choice(['tpe', 'random']), 'tpe', {
      commands: ['search'],
      onResume: 'irrelevant',
      help: 'how the next values are chosen: where earlier ones were good, or at random',
    }),
    pruner: withDefault(choice(['median', 'none']), 'median', {
      commands: ['search'],
      onResume: 'irrelevant',
      help: 'whether a training is ended early when it is worse than half of the earlier ones were at the same step',
    }),
  }),
  ...inGroup('Serving', {
    host: withDefault(text('ADDRESS'), '127.0.0.1', {
      commands: ['serve'],
      onResume: 'irrelevant',
      help: 'address to listen on; others than the loopback are open to their network, and there is no authentication',
    }),
    port: withDefault(integer(0, { max: 65_535 }), 8080, {
      commands: ['serve'],
      onResume: 'irrelevant',
      help: 'port to listen on; 0 takes a free one',
    }),
    maxWait: withDefault(
      real('of milliseconds from 0 to 1000', (n) => n >= 0 && n <= 1000),
      2,
      {
        commands: ['serve'],
        onResume: 'irrelevant',
        help: 'milliseconds for which a step waits at most for texts that are being tokenized',
      },
    ),
    maxBatchTokens: withDefault(integer(1), 2048, {
      commands: ['serve'],
      onResume: 'irrelevant',
      help: 'tokens that are packed into one step at most; a single text may have more',
    }),
    maxQueue: withDefault(integer(1), 512, {
      commands: ['serve'],
      onResume: 'irrelevant',
      help: 'texts without an answer yet; when there are so many, further ones are refused (status 429)',
    }),
    maxClientBatchSize: withDefault(integer(1), 32, {
      commands: ['serve'],
      onResume: 'irrelevant',
      help: 'texts a request may have',
    }),
    payloadLimit: withDefault(integer(1), 2_000_000, {
      commands: ['serve'],
      onResume: 'irrelevant',
      help: 'bytes that the body of a request may have',
    }),
    requestTimeout: withDefault(
      real('of seconds above 0 and up to 3600', (n) => n > 0 && n <= 3600),
      30,
      {
        commands: ['serve'],
        onResume: 'irrelevant',
        help: 'seconds after which a request that has no answer yet is ended',
      },
    ),
  }),
};
