// Generated from src/options/table.ts by `npm run docs`; do not edit.
import type { SchedulerKwargs } from './schedulers.js';

/** The value of every option, with the sentence that the help has for it. */
export interface OptionValues {
  /** The weights: a folder, or a Hugging Face hub id such as bert-base-uncased. */
  model: string;
  /** Branch, tag or commit of a hub model. Default: main. */
  modelRevision: string;
  /** The base model of an adapter, where it is no longer the one that its adapter_config.json names. Default: that one. */
  baseModel: string;
  /** In place of `model`: a model's config.json, to start from random weights of that shape. */
  config: string;
  /** Folder or hub id of the tokenizer. Default: the model's own. */
  tokenizer: string;
  /** What the model is for: a label for each text, or one for each token, as entities are found; or, with masked-lm, texts without labels. Default: as the data are: words with tags, marked parts and CoNLL files are for tokens. */
  task: 'sequence-classification' | 'token-classification' | 'masked-lm';
  /** What the head predicts, and so the loss. Default: in training from the labels (lists: multi-label, decimals: regression), in evaluate and predict from the model. */
  problemType: 'single_label_classification' | 'multi_label_classification' | 'regression';
  /** Outputs of the head. A whole number of at least 1. Default: counted from the labels. */
  numLabels: number;
  /** The labels in the order of their ids; any other label is a bad row. Default: all labels of the data, sorted. */
  labelList: string[];
  /** Longer inputs are cut to this many tokens, special tokens included. A whole number of at least 3. Default: 512, or the model's positions where those are fewer. */
  maxSeqLength: number;
  /** Of tokens: all tokens of a word have its label, not the first alone. Default: `false`. */
  labelAllTokens: boolean;
  /** Of tokens: entities count only where they are written by the rules of their scheme, as in seqeval's strict mode. Default: `false`. */
  strictEntities: boolean;
  /** Of tokens: how they become entities, as in transformers' pipeline: each token, neighbours of one type, or words first. Default: as the training read its rows: first for words with labels, simple for marked parts. */
  aggregationStrategy: 'none' | 'simple' | 'first' | 'average' | 'max';
  /** Read longer texts whole, as windows of `maxSeqLength` that share N tokens; none cuts them. Default: longer texts are cut. */
  stride: number | 'none';
  /** How the logits of the windows are combined, with `stride`. Default: mean. */
  pooling: 'mean' | 'max';
  /** With `task` masked-lm each text is a row, cut at `maxSeqLength`; otherwise texts are put together and cut into rows of that length. Default: `false`. */
  lineByLine: boolean;
  /** With `task` masked-lm what a text is in .txt files: a line, or a paragraph, which ends with a blank line. Default: `line`. */
  textUnit: 'line' | 'paragraph';
  /** With `task` masked-lm the share of tokens to predict; 0.3:0.15 goes evenly from one to the other. Evaluations take 0.15. Default: `0.15`. */
  mlmProbability: number | string;
  /** With `task` masked-lm mask all tokens of a word together. Default: `false`. */
  wholeWordMask: boolean;
  /** Training rows: csv, tsv, jsonl, json or parquet; globs work. */
  trainFile: string[];
  /** Rows to evaluate on. */
  validationFile: string[];
  /** Rows to predict; -: standard input, JSON Lines or a text a line. */
  testFile: string[];
  /** In place of files: texts to predict. */
  text: string[];
  /** In place of files: a hub dataset, e.g. stanfordnlp/imdb. */
  dataset: string;
  /** Configuration of the hub dataset, e.g. sst2 of nyu-mll/glue. */
  datasetConfig: string;
  /** Split of the hub dataset to train on. Default: `train`. */
  trainSplit: string;
  /** Split of the hub dataset to evaluate on; or, as 0.1, a share of the training rows, stratified by label. Default: of a hub dataset validation, else test. */
  validationSplit: string | number;
  /** Rows with equal values in this column stay together when a share is set aside. Default: each row for itself. */
  validationGroupColumn: string;
  /** Split of the hub dataset to predict. Default: `test`. */
  testSplit: string;
  /** Column of the text. Default: found by its usual names (text, sentence, review ...). */
  textColumn: string;
  /** Column of the second text, for pairs; none with a model of pairs reads single texts. Default: found with the first (sentence1 and sentence2 ...). */
  textPairColumn: string;
  /** Columns that are carried over to the predictions, such as an id. Default: none. */
  idColumn: string[];
  /** Column of the label; or several of zeros and ones, probabilities or numbers, one for each label. Default: found by its usual names (label, labels, class ...). */
  labelColumn: string[];
  /** What separates several labels written as one text, for multi-label. Default: | or ; or a comma, whichever the first labels show. */
  labelDelimiter: string;
  /** What lists hold: names or ids of classes, zeros and ones by position, probabilities, or numbers to predict. Default: decided from the first rows, and logged with an example. */
  labelFormat: 'names' | 'multi_hot' | 'probabilities' | 'numbers';
  /** Labels that differ only in white space, case, width, composed accents or invisible characters are one. Default: `false`. */
  foldLabels: boolean;
  /** Labels that mean that a row has none, such as n/a (na_values of pandas); these rows are left out. Default: rows without a label are bad rows. */
  naLabels: string[];
  /** Labels are probabilities, in a column for each, in lists, or as predict writes them; metrics other than the loss take the likeliest. Default: `false`. */
  softLabels: boolean;
  /** With softLabels and distillationAlpha: the column with the training rows' own labels, beside those of the teacher. Default: none. */
  hardLabelColumn: string;
  /** A file of inspect `labelErrors`, as a person left it: its suggested labels replace those of the training rows. Default: none. */
  labelCorrections: string;
  /** Of marked parts of texts: places count code points, as in Python, or UTF-16 units, as in JavaScript and in what predict writes. Default: auto: what fits the text that entities repeat, else code points; of Label Studio UTF-16 units. */
  entityOffsets: 'auto' | 'code-points' | 'utf-16';
  /** A row that cannot be used stops the run, or is skipped and reported. Default: `stop`. */
  badRows: 'stop' | 'skip';
  /** None: quotes in CSV and TSV are characters like others, as in the files of GLUE. Default: `minimal`. */
  quoting: 'minimal' | 'none';
  /** The encoding of text files without a byte order mark, such as windows-1252, shift_jis or gb18030. Default: UTF-8. */
  encoding: string;
  /** In CSV and TSV this character makes the next one a character like others: \ where quotes are written \"; none as without. Default: none; quotes in quotes are doubled. */
  escape: string;
  /** The list with the rows in a JSON file that is one object: data of {"data": [...]}; none as without. Default: the only list, or the one named as the split. */
  jsonField: string;
  /** A row of a text file that is longer is a bad row (16 MiB). A whole number from 1024 to 536870912. Default: `16777216`. */
  maxRowBytes: number;
  /** A file that grows by more than this factor when it is decompressed is refused (beyond 64 MiB). A whole number of at least 1. Default: `100`. */
  maxCompressionRatio: number;
  /** Train on the first N rows only. A whole number of at least 1. Default: all. */
  maxTrainSamples: number;
  /** Evaluate on the first N rows only. A whole number of at least 1. Default: all. */
  maxEvalSamples: number;
  /** Predict the first N rows only. A whole number of at least 1. Default: all. */
  maxPredictSamples: number;
  /** Passes over the training rows; 0.5 is half a pass. A number above 0. Default: `3`. */
  numTrainEpochs: number;
  /** Stop after N optimizer steps whatever the epochs; -1 means by epochs. A whole number of at least 1, or -1. Default: `-1`. */
  maxSteps: number;
  /** Rows a batch. A whole number of at least 1. Default: `8`. */
  perDeviceTrainBatchSize: number;
  /** Batches an optimizer step; the result does not depend on how a step is cut into batches. A whole number of at least 1. Default: `1`. */
  gradientAccumulationSteps: number;
  /** Where memory runs out, cut batches further and continue; the gradients stay the same. Default: `false`. */
  autoFindBatchSize: boolean;
  /** Compute layers again in the backward pass instead of keeping them: less memory, more time, same result. Default: `false`. */
  gradientCheckpointing: boolean;
  /** Of several processes, what gradients are rounded to when they are summed; bfloat16 is half the traffic. Default: `float32`. */
  gradientReduceDtype: 'float32' | 'bfloat16';
  /** Of several processes, what sums gradients: nccl from GPU to GPU, gloo by way of the host; left out, nccl where all have it. */
  ddpBackend: 'nccl' | 'gloo';
  /** On a CUDA device, record the launches of a step once for each size of batch and repeat them: same result. Default: `false`. */
  cudaGraphs: boolean;
  /** Peak learning rate. A number above 0. Default: `5e-5`. */
  learningRate: number;
  /** How the learning rate develops after warmup. Default: `linear`. */
  lrSchedulerType:
    | 'linear'
    | 'cosine'
    | 'cosine_with_restarts'
    | 'polynomial'
    | 'constant'
    | 'constant_with_warmup'
    | 'inverse_sqrt'
    | 'cosine_with_min_lr'
    | 'cosine_warmup_with_min_lr'
    | 'warmup_stable_decay'
    | 'slanted_triangular'
    | 'reduce_lr_on_plateau'
    | 'greedy';
  /** Further arguments of the schedule, by their names in HF, e.g. {"num_cycles": 2}. Default: HF's. */
  lrSchedulerKwargs: SchedulerKwargs;
  /** Steps of linear warmup, or below 1 the share of all steps. A whole number of steps, or a share of all steps from 0 to below 1. Default: `0`. */
  warmupSteps: number;
  /** Optimizer, as torch.optim; adamw_torch is the same as adamw_torch_fused. Default: `adamw_torch_fused`. */
  optim: 'adamw_torch_fused' | 'adamw_torch' | 'adam' | 'sgd' | 'adagrad';
  /** With `optim` sgd: momentum. A number from 0 to below 1. Default: `0`. */
  momentum: number;
  /** Weight decay, not applied to biases and LayerNorm; with another optimizer than AdamW an L2 term. A number of at least 0. Default: `0`. */
  weightDecay: number;
  /** Beta 1 of AdamW and Adam. A number from 0 to below 1. Default: `0.9`. */
  adamBeta1: number;
  /** Beta 2 of AdamW and Adam. A number from 0 to below 1. Default: `0.999`. */
  adamBeta2: number;
  /** Epsilon of AdamW and Adam. A number above 0. Default: `1e-8`. */
  adamEpsilon: number;
  /** Clip the gradient to this norm; 0 does not clip. A number of at least 0. Default: `1`. */
  maxGradNorm: number;
  /** A step whose loss or gradient is NaN or infinite changes no weight; then stop the run, skip the step and count it, or return to the last checkpoint and continue with the next rows. Default: `stop`. */
  nonfiniteGradient: 'stop' | 'skip' | 'rollback';
  /** Label smoothing, for classes; evaluation stays unsmoothed, unlike HF. A number from 0 to below 1. Default: `0`. */
  labelSmoothingFactor: number;
  /** For one label a row: a weight of each label in the loss, in the order of their ids, or balanced, by how rare each is; evaluation stays unweighted. Default: equal. */
  classWeights: 'balanced' | number[];
  /** For several labels a row: a weight of each label where a row has it, or balanced, rows without by rows with it. Default: equal. */
  posWeight: 'balanced' | number[];
  /** Noise on word embeddings in training (NEFTune, Jain et al. 2023); the paper tries 5, 10 and 15. A number of at least 0. Default: none. */
  neftuneNoiseAlpha: number;
  /** Focal loss: how far rows that are right already count less, e.g. 2. A number of at least 0. Default: none. */
  focalGamma: number;
  /** With labels that are probabilities of a teacher: how much its answers and those of the student are softened before they are compared, e.g. 2 (Hinton et al. 2015). A number from 0.01 to 1000. Default: 1. */
  distillationTemperature: number;
  /** With probabilities of a teacher: their share in the loss, from 0 to 1; the rest is that of the rows' own labels, in hardLabelColumn (Hinton et al. 2015). A number from 0 to 1. Default: 1. */
  distillationAlpha: number;
  /** Tensors that stay as they are, e.g. bert.embeddings "bert.encoder.layer.{0..5}"; the layers below the lowest trained one cost no backward pass. Default: none. */
  freeze: string[];
  /** Start with the head alone and add a layer from the top every epoch, or every N steps. Default: no. */
  gradualUnfreezing: 'epoch' | number;
  /** Discriminative learning rates: each layer learns at the rate of the one above it divided by this, e.g. 2.6. A number of at least 1. Default: 1. */
  layerLrDecay: number;
  /** Factors of the learning rate by tensor name, e.g. 'classifier=10'; of several that match the last counts. Default: none. */
  lrFactors: Record<string, number>;
  /** LoRA: train low-rank updates of this rank and the head in place of all weights, and save them as PEFT does. A whole number of at least 1. Default: all weights are trained. */
  loraRank: number;
  /** Updates of LoRA are scaled by this over the rank. A number above 0. Default: 8, PEFT's. */
  loraAlpha: number;
  /** Dropout before the updates of LoRA. A number from 0 to below 1. Default: 0. */
  loraDropout: number;
  /** Linear layers that get updates: query, key, value, attention.output.dense, intermediate.dense, output.dense, pooler.dense, a pattern, or all-linear. Default: query value, PEFT's. */
  loraTargetModules: string[];
  /** Which rows form a batch; nothing is padded, so none of the three wastes work. Default: `random`. */
  trainSamplingStrategy: 'random' | 'group_by_length' | 'sequential';
  /** Seed of initial weights, dropout and order. A whole number from 0 to 4294967295. Default: `42`. */
  seed: number;
  /** Seed of the order of rows. A whole number from 0 to 4294967295. Default: `seed`. */
  dataSeed: number;
  /** Resume from a checkpoint; without a folder, from the newest one in the output folder; auto: from the newest that is complete, or else from the start. */
  resumeFromCheckpoint: string | boolean;
  /** When to evaluate during training; given rows are always evaluated at the end. Default: `no`. */
  evalStrategy: 'no' | 'steps' | 'epoch';
  /** No evaluation before this many epochs, or steps with `evalStrategy` steps. A number of at least 0. Default: `0`. */
  evalDelay: number;
  /** Evaluate before the first step as well. Default: `false`. */
  evalOnStart: boolean;
  /** With `evalStrategy` steps: evaluate every N steps. A whole number of steps, or a share of all steps above 0 and below 1. Default: `loggingSteps`. */
  evalSteps: number;
  /** Rows a batch in evaluation and prediction. A whole number of at least 1. Default: `8`. */
  perDeviceEvalBatchSize: number;
  /** Metric by which the best checkpoint is chosen, e.g. accuracy. Default: loss. */
  metricForBestModel: string;
  /** Whether a greater metric is better. Default: known for each metric. */
  greaterIsBetter: boolean;
  /** Save the weights of the best checkpoint, not those of the last step. Default: `false`. */
  loadBestModelAtEnd: boolean;
  /** Stop after this many evaluations in which the metric for the best model did not improve. A whole number of at least 1. Default: never. */
  earlyStoppingPatience: number;
  /** An improvement of this or less does not count. A number of at least 0. Default: `0`. */
  earlyStoppingThreshold: number;
  /** Train N times, each time on all parts but one of N, stratified by label, and evaluate on that part; no model is saved. A whole number of at least 2. Default: one training; for `labelErrors` 5. */
  crossValidation: number;
  /** Train on parts of the rows, and list the rows whose labels the predictions for the other parts contradict (confident learning, Northcutt et al. 2021). Default: `false`. */
  labelErrors: boolean;
  /** With `labelErrors`, in place of training: probabilities of the rows by models that have not seen them, such as out_of_fold.jsonl of a cross-validation. */
  outOfFold: string;
  /** For several labels a row: choose the probability above which a label is given by F1, and save it with the model. Default: one half, or what was tuned before. */
  tuneThresholds: 'global' | 'per_label';
  /** Scale the probabilities so that the labels are most likely (Guo et al. 2017), and save that with the model. Default: `false`. */
  tuneTemperature: boolean;
  /** Folder for the model, the checkpoints and the metrics. */
  outputDir: string;
  /** File for the predictions; without it they go to standard output. */
  outputFile: string;
  /** How the predictions are written; parquet needs `outputFile`. Default: by the ending of `outputFile`, else jsonl; table on a terminal. */
  outputFormat: 'jsonl' | 'csv' | 'parquet' | 'table';
  /** File (.csv or .jsonl, of tokens .jsonl) for text, gold label, prediction, score and loss of every row, worst first. */
  predictionsFile: string;
  /** In CSV, an apostrophe before texts that a spreadsheet would compute; `noFormulaGuard` writes them as they are. Default: `false`. */
  formulaGuard: boolean;
  /** When to write a checkpoint; best: whenever an evaluation was the best so far. Default: `steps`. */
  saveStrategy: 'no' | 'steps' | 'epoch' | 'best';
  /** With `saveStrategy` steps: a checkpoint every N steps. A whole number of steps, or a share of all steps above 0 and below 1. Default: `500`. */
  saveSteps: number;
  /** Keep N checkpoints; the best and the newest are never removed. A whole number of at least 1. Default: all. */
  saveTotalLimit: number;
  /** Checkpoints without the optimizer: a third of the size, but no run can resume from them. Default: `false`. */
  saveOnlyModel: boolean;
  /** When to log loss and learning rate. Default: `steps`. */
  loggingStrategy: 'no' | 'steps' | 'epoch';
  /** With `loggingStrategy` steps: log every N steps. A whole number of steps, or a share of all steps above 0 and below 1. Default: `500`. */
  loggingSteps: number;
  /** Log the first step as well. Default: `false`. */
  loggingFirstStep: boolean;
  /** Also write the logs as they come, to files in the output folder. */
  reportTo: ('tensorboard' | 'jsonl' | 'csv')[];
  /** Write README.md, a model card for the hub, beside the model; what you add to it stays in the next training. Default: `false`. */
  modelCard: boolean;
  /** For the model card: language of the texts, by its ISO 639 code. Default: not named. */
  language: string[];
  /** For the model card: licence of the model, by the hub's id. Default: not named. */
  license: string;
  /** Push the model to a repository of the hub; the token is that of HF_TOKEN or the token file. Default: `false`. */
  pushToHub: boolean;
  /** With `pushToHub`: the repository, as organization/name, or name for one of the token's account. Default: the name of `outputDir`. */
  hubModelId: string;
  /** With `pushToHub`: also push each checkpoint in the background, its model (every_save), or all of it as last-checkpoint too (checkpoint). Default: `end`. */
  hubStrategy: 'end' | 'every_save' | 'checkpoint';
  /** With `pushToHub`: whether a new repository is private. Default: as its owner has set. */
  hubPrivateRepo: boolean;
  /** With `pushToHub`: the branch, made from main where it is not there. Default: main. */
  hubRevision: string;
  /** The repository, as organization/name, or name for one of the token's account; made where it is not there. */
  repo: string;
  /** Whether a new repository is private; one that is public already is refused. Default: as its owner has set. */
  private: boolean;
  /** The branch, made from main where it is not there. Default: main. */
  revision: string;
  /** Title of the commit. Default: `Upload model with bertune`. */
  commitMessage: string;
  /** Write report.html, a page with charts of the run, into the output folder, and its facts into report.json. Default: `false`. */
  report: boolean;
  /** Whether the report shows the texts of the worst errors. Default: `on`. */
  reportTexts: 'on' | 'off';
  /** Serve the report on this machine while the training runs; its address is printed. Default: `false`. */
  live: boolean;
  /** With `live`: the port of the report. A whole number of at least 1. Default: a free one. */
  livePort: number;
  /** Output folders of a training, an evaluation or a search: one, or two to compare. */
  runs: string[];
  /** Where the configuration is written. Default: `bertune.yaml`. */
  configFile: string;
  /** Replace a configuration that is there already. Default: `false`. */
  force: boolean;
  /** Print the result as JSON on a terminal too: one object, of predict one a line; a pipe always gets it. Default: `false`. */
  json: boolean;
  /** Print results, notes and errors only. Default: `false`. */
  quiet: boolean;
  /** Print more, and the stack of an error. Default: `false`. */
  verbose: boolean;
  /** Where to compute: auto takes a CUDA device where there is one; cuda is the one that LOCAL_RANK names, else the first, cuda:1 the second. Default: `auto`. */
  device: 'auto' | 'cpu' | 'cuda' | `cuda:${number}`;
  /** Precision of the computation, over float32 weights; auto takes bfloat16 where the device is good at it. Default: `auto`. */
  dtype: 'auto' | 'float32' | 'bfloat16';
  /** On a CUDA device, whether float32 products may round their inputs to TF32: 10 bits of mantissa, several times faster. Default: LibTorch's default, which is no. */
  tf32: boolean;
  /** CPU threads of the computation. A whole number of at least 1. Default: all cores. */
  threads: number;
  /** Work with N processes on this machine, each with a part of every batch, or of the batches; see docs/scaling.md. A whole number from 1 to 1024. Default: one. */
  nproc: number;
  /** Of several processes, the seconds after which one that does not answer counts as gone. A number above 0. Default: `600`. */
  ddpTimeout: number;
  /** Threads that tokenize ahead of the training step; 0 tokenizes between the steps. A whole number of at least 0. Default: `1`. */
  dataloaderNumWorkers: number;
  /** The files to write, by the names of transformers.js: float32 and 8 bits are what it takes in Node and in browsers. */
  dtypes: ('fp32' | 'fp16' | 'q8' | 'q4')[];
  /** The version of ONNX's operators. A whole number from 17 to 21. Default: `17`. */
  opset: number;
  /** Points of accuracy, micro F1 or R2 that a file may lose on the rows of `validationFile`; with more it is left out. A number of at least 0. Default: 1. */
  maxMetricDrop: number;
  /** Layers that stay float32 in q8 and q4, e.g. bert.encoder.layer.0; auto: as few as make a file fit that is not. Default: pooler and classifier. */
  keepFloat: string[];
  /** Trainings to try, earlier ones of the same search included. A whole number of at least 1. Default: `20`. */
  nTrials: number;
  /** How the next values are chosen: where earlier ones were good, or at random. Default: `tpe`. */
  sampler: 'tpe' | 'random';
  /** Whether a training is ended early when it is worse than half of the earlier ones were at the same step. Default: `median`. */
  pruner: 'median' | 'none';
  /** Address to listen on; others than the loopback are open to their network, and there is no authentication. Default: `127.0.0.1`. */
  host: string;
  /** Port to listen on; 0 takes a free one. A whole number from 0 to 65535. Default: `8080`. */
  port: number;
  /** Milliseconds for which a step waits at most for texts that are being tokenized. A number of milliseconds from 0 to 1000. Default: `2`. */
  maxWait: number;
  /** Tokens that are packed into one step at most; a single text may have more. A whole number of at least 1. Default: `2048`. */
  maxBatchTokens: number;
  /** Texts without an answer yet; when there are so many, further ones are refused (status 429). A whole number of at least 1. Default: `512`. */
  maxQueue: number;
  /** Texts a request may have. A whole number of at least 1. Default: `32`. */
  maxClientBatchSize: number;
  /** Bytes that the body of a request may have. A whole number of at least 1. Default: `2000000`. */
  payloadLimit: number;
  /** Seconds after which a request that has no answer yet is ended. A number of seconds above 0 and up to 3600. Default: `30`. */
  requestTimeout: number;
}

/** For each command the options that always have a value, and those that may be missing. */
// prettier-ignore
export interface CommandOptions {
  train: { always: 'labelAllTokens' | 'lineByLine' | 'textUnit' | 'mlmProbability' | 'wholeWordMask' | 'trainFile' | 'validationFile' | 'trainSplit' | 'foldLabels' | 'softLabels' | 'badRows' | 'quoting' | 'maxRowBytes' | 'maxCompressionRatio' | 'numTrainEpochs' | 'maxSteps' | 'perDeviceTrainBatchSize' | 'gradientAccumulationSteps' | 'autoFindBatchSize' | 'gradientCheckpointing' | 'gradientReduceDtype' | 'cudaGraphs' | 'learningRate' | 'lrSchedulerType' | 'warmupSteps' | 'optim' | 'momentum' | 'weightDecay' | 'adamBeta1' | 'adamBeta2' | 'adamEpsilon' | 'maxGradNorm' | 'nonfiniteGradient' | 'labelSmoothingFactor' | 'trainSamplingStrategy' | 'seed' | 'evalStrategy' | 'evalDelay' | 'evalOnStart' | 'perDeviceEvalBatchSize' | 'loadBestModelAtEnd' | 'earlyStoppingThreshold' | 'outputDir' | 'saveStrategy' | 'saveSteps' | 'saveOnlyModel' | 'loggingStrategy' | 'loggingSteps' | 'loggingFirstStep' | 'reportTo' | 'modelCard' | 'pushToHub' | 'hubStrategy' | 'report' | 'reportTexts' | 'live' | 'json' | 'quiet' | 'verbose' | 'device' | 'dtype' | 'ddpTimeout' | 'dataloaderNumWorkers'; optional: 'model' | 'modelRevision' | 'baseModel' | 'config' | 'tokenizer' | 'task' | 'problemType' | 'numLabels' | 'labelList' | 'maxSeqLength' | 'dataset' | 'datasetConfig' | 'validationSplit' | 'validationGroupColumn' | 'textColumn' | 'textPairColumn' | 'labelColumn' | 'labelDelimiter' | 'labelFormat' | 'naLabels' | 'hardLabelColumn' | 'labelCorrections' | 'entityOffsets' | 'encoding' | 'escape' | 'jsonField' | 'maxTrainSamples' | 'maxEvalSamples' | 'ddpBackend' | 'lrSchedulerKwargs' | 'classWeights' | 'posWeight' | 'neftuneNoiseAlpha' | 'focalGamma' | 'distillationTemperature' | 'distillationAlpha' | 'freeze' | 'gradualUnfreezing' | 'layerLrDecay' | 'lrFactors' | 'loraRank' | 'loraAlpha' | 'loraDropout' | 'loraTargetModules' | 'dataSeed' | 'resumeFromCheckpoint' | 'evalSteps' | 'metricForBestModel' | 'greaterIsBetter' | 'earlyStoppingPatience' | 'crossValidation' | 'saveTotalLimit' | 'language' | 'license' | 'hubModelId' | 'hubPrivateRepo' | 'hubRevision' | 'livePort' | 'tf32' | 'threads' | 'nproc' };
  evaluate: { always: 'model' | 'strictEntities' | 'validationFile' | 'badRows' | 'maxCompressionRatio' | 'perDeviceEvalBatchSize' | 'tuneTemperature' | 'formulaGuard' | 'report' | 'reportTexts' | 'json' | 'quiet' | 'verbose' | 'device' | 'dtype' | 'ddpTimeout' | 'dataloaderNumWorkers'; optional: 'modelRevision' | 'baseModel' | 'tokenizer' | 'problemType' | 'maxSeqLength' | 'labelAllTokens' | 'stride' | 'pooling' | 'lineByLine' | 'textUnit' | 'wholeWordMask' | 'dataset' | 'datasetConfig' | 'validationSplit' | 'textColumn' | 'textPairColumn' | 'labelColumn' | 'labelDelimiter' | 'labelFormat' | 'foldLabels' | 'naLabels' | 'softLabels' | 'entityOffsets' | 'quoting' | 'encoding' | 'escape' | 'jsonField' | 'maxRowBytes' | 'maxEvalSamples' | 'tuneThresholds' | 'outputDir' | 'predictionsFile' | 'tf32' | 'threads' | 'nproc' };
  predict: { always: 'model' | 'testFile' | 'testSplit' | 'badRows' | 'maxCompressionRatio' | 'perDeviceEvalBatchSize' | 'formulaGuard' | 'json' | 'quiet' | 'verbose' | 'device' | 'dtype' | 'ddpTimeout' | 'dataloaderNumWorkers'; optional: 'modelRevision' | 'baseModel' | 'tokenizer' | 'problemType' | 'maxSeqLength' | 'aggregationStrategy' | 'stride' | 'pooling' | 'text' | 'dataset' | 'datasetConfig' | 'textColumn' | 'textPairColumn' | 'idColumn' | 'quoting' | 'encoding' | 'escape' | 'jsonField' | 'maxRowBytes' | 'maxPredictSamples' | 'outputFile' | 'outputFormat' | 'tf32' | 'threads' | 'nproc' };
  search: { always: 'labelAllTokens' | 'lineByLine' | 'textUnit' | 'mlmProbability' | 'wholeWordMask' | 'trainFile' | 'validationFile' | 'trainSplit' | 'foldLabels' | 'softLabels' | 'badRows' | 'quoting' | 'maxRowBytes' | 'maxCompressionRatio' | 'numTrainEpochs' | 'maxSteps' | 'perDeviceTrainBatchSize' | 'gradientAccumulationSteps' | 'autoFindBatchSize' | 'gradientCheckpointing' | 'gradientReduceDtype' | 'cudaGraphs' | 'learningRate' | 'lrSchedulerType' | 'warmupSteps' | 'optim' | 'momentum' | 'weightDecay' | 'adamBeta1' | 'adamBeta2' | 'adamEpsilon' | 'maxGradNorm' | 'nonfiniteGradient' | 'labelSmoothingFactor' | 'trainSamplingStrategy' | 'seed' | 'evalStrategy' | 'evalDelay' | 'evalOnStart' | 'perDeviceEvalBatchSize' | 'loadBestModelAtEnd' | 'earlyStoppingThreshold' | 'outputDir' | 'saveStrategy' | 'saveSteps' | 'saveOnlyModel' | 'loggingStrategy' | 'loggingSteps' | 'loggingFirstStep' | 'reportTo' | 'modelCard' | 'pushToHub' | 'hubStrategy' | 'report' | 'reportTexts' | 'live' | 'json' | 'quiet' | 'verbose' | 'device' | 'dtype' | 'ddpTimeout' | 'dataloaderNumWorkers' | 'nTrials' | 'sampler' | 'pruner'; optional: 'model' | 'modelRevision' | 'baseModel' | 'config' | 'tokenizer' | 'task' | 'problemType' | 'numLabels' | 'labelList' | 'maxSeqLength' | 'dataset' | 'datasetConfig' | 'validationSplit' | 'validationGroupColumn' | 'textColumn' | 'textPairColumn' | 'labelColumn' | 'labelDelimiter' | 'labelFormat' | 'naLabels' | 'hardLabelColumn' | 'labelCorrections' | 'entityOffsets' | 'encoding' | 'escape' | 'jsonField' | 'maxTrainSamples' | 'maxEvalSamples' | 'ddpBackend' | 'lrSchedulerKwargs' | 'classWeights' | 'posWeight' | 'neftuneNoiseAlpha' | 'focalGamma' | 'distillationTemperature' | 'distillationAlpha' | 'freeze' | 'gradualUnfreezing' | 'layerLrDecay' | 'lrFactors' | 'loraRank' | 'loraAlpha' | 'loraDropout' | 'loraTargetModules' | 'dataSeed' | 'resumeFromCheckpoint' | 'evalSteps' | 'metricForBestModel' | 'greaterIsBetter' | 'earlyStoppingPatience' | 'saveTotalLimit' | 'language' | 'license' | 'hubModelId' | 'hubPrivateRepo' | 'hubRevision' | 'livePort' | 'tf32' | 'threads' };
  inspect: { always: 'trainFile' | 'trainSplit' | 'foldLabels' | 'softLabels' | 'badRows' | 'quoting' | 'maxRowBytes' | 'maxCompressionRatio' | 'numTrainEpochs' | 'perDeviceTrainBatchSize' | 'gradientAccumulationSteps' | 'learningRate' | 'seed' | 'perDeviceEvalBatchSize' | 'labelErrors' | 'formulaGuard' | 'json' | 'quiet' | 'verbose' | 'device' | 'dtype' | 'dataloaderNumWorkers'; optional: 'model' | 'modelRevision' | 'config' | 'tokenizer' | 'task' | 'problemType' | 'labelList' | 'maxSeqLength' | 'dataset' | 'datasetConfig' | 'textColumn' | 'textPairColumn' | 'labelColumn' | 'labelDelimiter' | 'labelFormat' | 'naLabels' | 'entityOffsets' | 'encoding' | 'escape' | 'jsonField' | 'maxTrainSamples' | 'maxEvalSamples' | 'crossValidation' | 'outOfFold' | 'outputFile' | 'tf32' | 'threads' };
  init: { always: 'trainFile' | 'validationFile' | 'trainSplit' | 'foldLabels' | 'softLabels' | 'badRows' | 'quoting' | 'maxRowBytes' | 'maxCompressionRatio' | 'configFile' | 'force' | 'quiet' | 'verbose'; optional: 'model' | 'modelRevision' | 'config' | 'tokenizer' | 'task' | 'problemType' | 'labelList' | 'maxSeqLength' | 'dataset' | 'datasetConfig' | 'validationSplit' | 'textColumn' | 'textPairColumn' | 'labelColumn' | 'labelDelimiter' | 'labelFormat' | 'naLabels' | 'entityOffsets' | 'encoding' | 'escape' | 'jsonField' | 'maxTrainSamples' | 'maxEvalSamples' | 'outputDir' };
  merge: { always: 'model' | 'outputDir' | 'modelCard' | 'quiet' | 'verbose'; optional: 'modelRevision' | 'baseModel' | 'tokenizer' | 'problemType' | 'language' | 'license' };
  export: { always: 'model' | 'validationFile' | 'badRows' | 'maxCompressionRatio' | 'perDeviceEvalBatchSize' | 'outputDir' | 'quiet' | 'verbose' | 'dtypes' | 'opset'; optional: 'modelRevision' | 'baseModel' | 'tokenizer' | 'problemType' | 'maxSeqLength' | 'labelAllTokens' | 'lineByLine' | 'textUnit' | 'wholeWordMask' | 'dataset' | 'datasetConfig' | 'validationSplit' | 'textColumn' | 'textPairColumn' | 'labelColumn' | 'labelDelimiter' | 'labelFormat' | 'foldLabels' | 'naLabels' | 'softLabels' | 'entityOffsets' | 'quoting' | 'encoding' | 'escape' | 'jsonField' | 'maxRowBytes' | 'maxEvalSamples' | 'maxMetricDrop' | 'keepFloat' };
  serve: { always: 'model' | 'quiet' | 'verbose' | 'device' | 'dtype' | 'dataloaderNumWorkers' | 'host' | 'port' | 'maxWait' | 'maxBatchTokens' | 'maxQueue' | 'maxClientBatchSize' | 'payloadLimit' | 'requestTimeout'; optional: 'modelRevision' | 'baseModel' | 'tokenizer' | 'problemType' | 'maxSeqLength' | 'aggregationStrategy' | 'stride' | 'pooling' | 'tf32' | 'threads' };
  push: { always: 'model' | 'repo' | 'commitMessage' | 'quiet' | 'verbose'; optional: 'private' | 'revision' };
  report: { always: 'reportTexts' | 'runs' | 'quiet' | 'verbose'; optional: 'outputFile' };
  trainer: { always: 'labelAllTokens' | 'numTrainEpochs' | 'maxSteps' | 'perDeviceTrainBatchSize' | 'gradientAccumulationSteps' | 'autoFindBatchSize' | 'gradientCheckpointing' | 'gradientReduceDtype' | 'cudaGraphs' | 'learningRate' | 'lrSchedulerType' | 'warmupSteps' | 'optim' | 'momentum' | 'weightDecay' | 'adamBeta1' | 'adamBeta2' | 'adamEpsilon' | 'maxGradNorm' | 'nonfiniteGradient' | 'labelSmoothingFactor' | 'trainSamplingStrategy' | 'seed' | 'evalStrategy' | 'evalDelay' | 'evalOnStart' | 'perDeviceEvalBatchSize' | 'loadBestModelAtEnd' | 'earlyStoppingThreshold' | 'outputDir' | 'saveStrategy' | 'saveSteps' | 'saveOnlyModel' | 'loggingStrategy' | 'loggingSteps' | 'loggingFirstStep' | 'reportTo' | 'device' | 'dtype' | 'dataloaderNumWorkers'; optional: 'maxSeqLength' | 'ddpBackend' | 'lrSchedulerKwargs' | 'classWeights' | 'posWeight' | 'neftuneNoiseAlpha' | 'focalGamma' | 'distillationTemperature' | 'distillationAlpha' | 'freeze' | 'gradualUnfreezing' | 'layerLrDecay' | 'lrFactors' | 'dataSeed' | 'resumeFromCheckpoint' | 'evalSteps' | 'metricForBestModel' | 'greaterIsBetter' | 'earlyStoppingPatience' | 'saveTotalLimit' | 'tf32' | 'threads' };
  scoring: { always: 'perDeviceEvalBatchSize' | 'device' | 'dtype' | 'dataloaderNumWorkers'; optional: 'maxSeqLength' | 'stride' | 'pooling' | 'tf32' | 'threads' };
  classifier: { always: 'device' | 'dtype' | 'dataloaderNumWorkers' | 'maxWait' | 'maxBatchTokens' | 'maxQueue'; optional: 'maxSeqLength' | 'aggregationStrategy' | 'stride' | 'pooling' | 'tf32' | 'threads' };
}
