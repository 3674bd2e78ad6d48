// Names of options: the command line's spellings, those of transformers and its scripts, and a job's own flags over a file's.

import tap from 'tap';

import {
  asFlags,
  foreignNames,
  normalizeArgs,
  parseTrainingArguments,
  parseTrainOptions,
  trainCommand,
} from '../../dist/options/index.js';
import { fault, fromFile, job } from '../fixtures/config.js';

await tap.test("a flag that names another job takes the place of the file's", (t) => {
  const imdb = {
    path: 'imdb.json',
    text: '{"model": "bert-base-uncased", "dataset": "imdb", "validationSplit": "test", "outputDir": "o"}',
  };
  const own = parseTrainOptions({ file: imdb, flags: { trainFile: ['a.csv'] } });
  t.match(own.options, { trainFile: ['a.csv'], dataset: undefined });
  t.same(own.notes, [
    'imdb.json:1:32: dataset is left out, since --train-file replaces it',
    'imdb.json:1:51: validationSplit is left out, since --train-file replaces it',
  ]);
  const small = { path: 'q.yaml', text: 'config: c.json\ntokenizer: t\ntrain_file: a\noutput_dir: o' };
  t.match(parseTrainOptions({ file: small, flags: { model: 'm' } }).options, {
    model: 'm',
    config: undefined,
    tokenizer: undefined,
  });
  t.match(parseTrainOptions({ file: small, flags: { dataset: 'imdb' } }).options, {
    dataset: 'imdb',
    trainFile: [],
    config: 'c.json',
  });
  t.end();
});

await tap.test('names of transformers 4, run_classification.py and run_glue.py', (t) => {
  const flags = {
    modelNameOrPath: 'bert-base-uncased',
    datasetName: 'glue',
    datasetConfigName: 'sst2',
    textColumnNames: 'sentence',
    labelColumnName: 'label',
    maxSeqLength: '128',
    padToMaxLength: 'False',
    doTrain: true,
    doEval: true,
    perGpuTrainBatchSize: '32',
    learningRate: '2e-5',
    evaluationStrategy: 'epoch',
    warmupRatio: '0.1',
    groupByLength: true,
    useCpu: true,
    bf16: true,
    outputDir: 'o',
    overwriteOutputDir: true,
    saveSafetensors: 'True',
    fp16: 'False',
    optim: 'adamw_torch',
    reportTo: 'none',
    loggingDir: './logs',
    deepspeed: '',
    validationSplitName: 'validation',
  };
  const { options, notes } = parseTrainOptions({ flags });
  t.match(options, {
    model: 'bert-base-uncased',
    dataset: 'glue',
    datasetConfig: 'sst2',
    textColumn: 'sentence',
    labelColumn: ['label'],
    maxSeqLength: 128,
    perDeviceTrainBatchSize: 32,
    learningRate: 2e-5,
    evalStrategy: 'epoch',
    warmupSteps: 0.1,
    trainSamplingStrategy: 'group_by_length',
    device: 'cpu',
    dtype: 'bfloat16',
    validationSplit: 'validation',
  });
  t.same(notes, [
    '--text-column-names is called --text-column here',
    '--pad-to-max-length has no effect: nothing is ever padded, batches are packed',
    '--do-eval has no effect: validation rows are evaluated whenever they are given',
    '--per-gpu-train-batch-size is called --per-device-train-batch-size here',
    '--evaluation-strategy is called --eval-strategy here',
    '--warmup-ratio is called --warmup-steps here',
    '--group-by-length is written --train-sampling-strategy group_by_length here',
    '--use-cpu is written --device cpu here',
    '--bf16 is written --dtype bfloat16 here',
    '--overwrite-output-dir has no effect: the output folder may exist, and a run is resumed only with --resume-from-checkpoint',
    '--logging-dir has no effect: the log is written to trainer_state.json in the output folder',
  ]);
  const refused: [Record<string, unknown>, string][] = [
    [{ fp16: 'True' }, '--fp16: float16 is not supported; use --dtype bfloat16, or --dtype float32'],
    [
      { doTrain: 'false' },
      '--do-train: `bertune train` trains; `bertune evaluate` evaluates without training',
    ],
    [{ saveSafetensors: 'false' }, '--save-safetensors: weights are always saved as safetensors'],
    [
      { optim: 'adafactor' },
      'Expected one of adamw_torch_fused, adamw_torch, adam, sgd, adagrad for --optim but received "adafactor"',
    ],
    [
      { deepspeed: 'zero.json' },
      '--deepspeed is not supported: each process of a training has one device and needs no further settings; see docs/scaling.md',
    ],
    [
      { taskName: 'mrpc' },
      '--task-name is not supported: use --dataset nyu-mll/glue with --dataset-config <task> instead',
    ],
    [
      { textColumnNames: 'title,body' },
      '--text-column-names: columns are not joined; give one as --text-column, and a second text as --text-pair-column',
    ],
    [{ warmupRatio: '1' }, 'Expected a number from 0 to below 1 for --warmup-ratio but received 1'],
    [
      { warmupRatio: '0.1', warmupSteps: '5' },
      '--warmup-ratio and --warmup-steps set the same option; keep one of them',
    ],
    [{ noCuda: 'maybe' }, 'Expected true or false for --no-cuda but received "maybe"'],
  ];
  for (const [more, wanted] of refused)
    t.equal(
      fault(() => parseTrainOptions({ flags: { ...job, ...more } })),
      wanted,
      wanted,
    );
  // A dump of TrainingArguments with its defaults asks for nothing, and so passes.
  const dump =
    '{"model": "m", "train_file": "a", "output_dir": "o", "fp16": false, "fsdp": [], "fsdp_config": {}, "report_to": [], "lr_scheduler_kwargs": {}, "neftune_noise_alpha": null, "push_to_hub": false, "use_cpu": false, "tf32": null}';
  t.same(fromFile('dump.json', dump).notes, []);
  t.equal(fromFile('dump.json', dump).options.tf32, undefined, 'as LibTorch has it');
  for (const tf32 of [true, false]) {
    const file = JSON.stringify({ model: 'm', trainFile: 'a', outputDir: 'o', tf32 });
    t.equal(fromFile('tf32.json', file).options.tf32, tf32);
    t.equal(parseTrainOptions({ flags: { ...job, tf32: String(tf32) } }).options.tf32, tf32);
  }
  t.equal(
    fromFile('b.json', '{"model": "m", "train_file": "a", "output_dir": "o", "bf16": false}').options.dtype,
    'float32',
  );
  t.end();
});

// What `TrainingArguments(output_dir="o").to_dict()` of transformers 5.18 holds.
const HF_DEFAULTS = {
  do_train: false,
  per_device_train_batch_size: 8,
  num_train_epochs: 3.0,
  max_steps: -1,
  learning_rate: 5e-5,
  lr_scheduler_type: 'linear',
  lr_scheduler_kwargs: null,
  warmup_steps: 0,
  optim: 'adamw_torch_fused',
  optim_args: null,
  weight_decay: 0.0,
  adam_beta1: 0.9,
  adam_beta2: 0.999,
  adam_epsilon: 1e-8,
  optim_target_modules: null,
  gradient_accumulation_steps: 1,
  average_tokens_across_devices: true,
  max_grad_norm: 1.0,
  label_smoothing_factor: 0.0,
  bf16: false,
  fp16: false,
  bf16_full_eval: false,
  fp16_full_eval: false,
  tf32: null,
  gradient_checkpointing: false,
  gradient_checkpointing_kwargs: null,
  torch_compile: false,
  torch_compile_backend: null,
  torch_compile_mode: null,
  use_liger_kernel: false,
  liger_kernel_config: null,
  use_cache: false,
  neftune_noise_alpha: null,
  torch_empty_cache_steps: null,
  auto_find_batch_size: false,
  logging_strategy: 'steps',
  logging_steps: 500,
  logging_first_step: false,
  log_on_each_node: true,
  logging_nan_inf_filter: true,
  include_num_input_tokens_seen: 'no',
  log_level: 'passive',
  log_level_replica: 'warning',
  disable_tqdm: false,
  report_to: [],
  run_name: null,
  project: 'huggingface',
  trackio_space_id: null,
  trackio_bucket_id: null,
  trackio_static_space_id: null,
  eval_strategy: 'no',
  eval_steps: null,
  eval_delay: 0,
  per_device_eval_batch_size: 8,
  prediction_loss_only: false,
  eval_on_start: false,
  eval_do_concat_batches: true,
  eval_use_gather_object: false,
  eval_accumulation_steps: null,
  include_for_metrics: [],
  batch_eval_metrics: false,
  save_only_model: false,
  save_strategy: 'steps',
  save_steps: 500,
  save_on_each_node: false,
  save_total_limit: null,
  enable_jit_checkpoint: false,
  push_to_hub: false,
  hub_token: '<HUB_TOKEN>',
  hub_private_repo: null,
  hub_model_id: null,
  hub_strategy: 'every_save',
  hub_always_push: false,
  hub_revision: null,
  load_best_model_at_end: false,
  metric_for_best_model: null,
  greater_is_better: null,
  ignore_data_skip: false,
  restore_callback_states_from_checkpoint: false,
  full_determinism: false,
  seed: 42,
  data_seed: null,
  use_cpu: false,
  accelerator_config: {
    split_batches: false,
    dispatch_batches: null,
    even_batches: true,
    use_seedable_sampler: true,
    non_blocking: false,
    gradient_accumulation_kwargs: null,
  },
  parallelism_config: null,
  dataloader_drop_last: false,
  dataloader_num_workers: 0,
  dataloader_pin_memory: true,
  dataloader_persistent_workers: false,
  dataloader_prefetch_factor: null,
  dataloader_multiprocessing_context: null,
  dataloader_in_order: true,
  remove_unused_columns: true,
  label_names: null,
  train_sampling_strategy: 'random',
  length_column_name: 'length',
  ddp_find_unused_parameters: null,
  ddp_bucket_cap_mb: null,
  ddp_broadcast_buffers: null,
  ddp_static_graph: null,
  ddp_backend: null,
  ddp_timeout: 1800,
  fsdp: null,
  fsdp_config: null,
  deepspeed: null,
  debug: [],
  skip_memory_metrics: true,
  do_eval: false,
  do_predict: false,
  resume_from_checkpoint: null,
  local_rank: -1,
};

await tap.test('all arguments of transformers 5.18 are known', (t) => {
  const own = { model: 'm', train_file: 'a', output_dir: 'o' };
  const file = { ...own, ...HF_DEFAULTS };
  t.doesNotThrow(() => fromFile('dump.json', JSON.stringify(file)), 'their defaults ask for nothing');
  const noted: [string, unknown, string][] = [
    ['use_liger_kernel', true, 'has no effect: the native steps have kernels of their own, whose results it'],
    ['hub_token', 'secret', 'has no effect: set HF_TOKEN'],
    ['trackio_space_id', 'me/space', 'has no effect: the log is written to trainer_state.json'],
    [
      'ddp_bucket_cap_mb',
      25,
      'has no effect: each process of a training has one device and needs no further settings; see docs/scaling.md',
    ],
    ['gradient_checkpointing_kwargs', { use_reentrant: false }, 'has no effect: there is one way'],
    ['enable_jit_checkpoint', true, 'has no effect: SIGTERM always saves a checkpoint'],
    ['include_num_input_tokens_seen', 'all', 'has no effect: num_input_tokens_seen in trainer_state.json'],
  ];
  for (const [name, value, note] of noted) {
    const { notes } = fromFile('d.json', JSON.stringify({ ...own, [name]: value }));
    t.equal(notes.length, 1, name);
    t.match(notes[0], `${name} ${note}`);
    t.notMatch(notes[0], 'secret');
  }
  const refused: [string, unknown, string][] = [
    [
      'parallelism_config',
      { tp_size: 2 },
      'each process of a training has one device and needs no further settings; see docs/scaling.md',
    ],
    ['optim_target_modules', 'all-linear', 'no optimizer projects gradients; freeze and lora_rank'],
    ['include_for_metrics', ['inputs'], 'computeMetrics is given logits and labels'],
    ['debug', 'underflow_overflow', 'a loss or gradient that is not finite is always found'],
    ['optim_args', 'momentum=0.9', 'sgd takes momentum, AdamW and Adam take adam_beta1'],
  ];
  for (const [name, value, why] of refused)
    t.match(
      fault(() => fromFile('d.json', JSON.stringify({ ...own, [name]: value }))),
      `${name} is not supported: ${why}`,
    );
  t.end();
});

function normal(...args: string[]): string[] {
  return normalizeArgs(args, trainCommand);
}

await tap.test('spellings of the command line', (t) => {
  t.same(normal('run.json', '--learning_rate=1e-5', '--trainFile', 'a', 'b', '--model_name_or_path', 'm'), [
    'run.json',
    '--learning-rate=1e-5',
    '--train-file',
    'a',
    'b',
    '--model',
    'm',
  ]);
  t.same(normal('--verbose', 'run.json'), ['--verbose=true', 'run.json'], 'a switch does not take the file');
  t.same(
    normal('--verbose', 'False', '--no-verbose', '--no_load_best_model_at_end', 'false', '--fp16', 'TRUE'),
    ['--verbose=false', '--verbose=false', '--load-best-model-at-end=true', '--fp16=true'],
  );
  t.same(normal('--no_cuda', '--noCuda', 'false'), ['--use-cpu=true', '--use-cpu=false']);
  t.same(normal('--resume-from-checkpoint', '--max-steps', '-1'), [
    '--resume-from-checkpoint',
    '--max-steps',
    '-1',
  ]);
  t.same(normal('--help', '-h'), ['--help', '-h']);
  t.equal(
    fault(() => normal('--model', '--train-file', 'a')),
    '--model needs a value: a text',
  );
  t.equal(
    fault(() => normal('--max-steps')),
    '--max-steps needs a value: a whole number of at least 1, or -1',
  );
  t.equal(
    fault(() => normal('--eval-strategy')),
    '--eval-strategy needs a value: one of no, steps, epoch',
  );
  t.equal(
    fault(() => normal('--no-model')),
    'unknown option --no-model (did you mean --model?)',
  );
  t.equal(
    fault(() => normal('--train', 'a.csv')),
    'unknown option --train (did you mean --train-file?)',
    'the start of a name',
  );
  t.end();
});

await tap.test('what the library calls by its name in scripts is a flag on the command line', (t) => {
  for (const [message, shown] of [
    ['maxSeqLength is 600; use at most 512', '--max-seq-length is 600; use at most 512'],
    ['evalSteps 3, saveSteps 4: no multiple', '--eval-steps 3, --save-steps 4: no multiple'],
    ['use autoFindBatchSize.', 'use --auto-find-batch-size.'],
    ['--saveSteps is a flag already', '--saveSteps is a flag already'],
    ['takes the `problemType` of a script', 'takes the `problemType` of a script'],
    ['the seed and the model are words', 'the seed and the model are words'],
    ['there is no column "labelList" in maxSteps/a.csv', 'there is no column "labelList" in maxSteps/a.csv'],
    ['runs/maxSteps.csv and notMaxSteps, maxStepsToo', 'runs/maxSteps.csv and notMaxSteps, maxStepsToo'],
  ] as const)
    t.equal(asFlags(message), shown);
  t.end();
});

await tap.test(
  'what is said of names of other tools names options as scripts write them, or as flags',
  (t) => {
    const refused = (values: object): string =>
      fault(() => parseTrainingArguments({ outputDir: 'o', ...values }));
    t.equal(refused({ fp16: true }), 'fp16: float16 is not supported; use dtype bfloat16, or dtype float32');
    t.match(
      refused({ optimArgs: 'x=1' }),
      'sgd takes momentum, AdamW and Adam take adamBeta1, adamBeta2 and',
    );
    for (const name of foreignNames()) {
      const noteOf = (value: unknown): string => {
        try {
          return parseTrainingArguments({ outputDir: 'o', [name]: value }).notes.join();
        } catch (error) {
          return String(error);
        }
      };
      for (const value of [true, false, 'x', 0.5]) t.notMatch(noteOf(value), /--|[{}]/, name);
    }
    t.end();
  },
);
