// What a command reads: the model, and the rows with how they are written. Options of the table (see table.ts).
import { choice, integer, integerOrNone, list, maskingShare, text, textOrShare, toggle } from './kinds.js';
import { DEFAULT_LIMITS } from '../data/compression.js';
import { labelFormats } from '../data/label-lists.js';
import {
  answering,
  evaluators,
  loaders,
  inGroup,
  optional,
  readers,
  trainers,
  training,
  withDefault,
} from './option.js';
import { poolings } from '../evaluation/long-texts.js';
import { entityOffsets } from '../data/span-rows.js';
import { textUnits } from '../data/text-lines.js';
import { aggregationStrategies, problemTypes, taskNames } from '../tasks/index.js';

const files = list('FILE', 'a file name or several');

export const inputOptions = {
  ...inGroup('Model', {
    model: optional(text('DIR_OR_ID'), {
      commands: [...loaders, 'push'],
      neededBy: [...answering, 'merge', 'export', 'push'],
      onResume: 'must-match',
      help: 'the weights: a folder, or a Hugging Face hub id such as bert-base-uncased',
      helpOf: { push: 'the folder of a model, an adapter or an export' },
      hf: 'model_name_or_path',
    }),
    modelRevision: optional(text('REV'), {
      commands: loaders,
      onResume: 'must-match',
      help: 'branch, tag or commit of a hub model',
      otherwise: 'main',
    }),
    baseModel: optional(text('DIR_OR_ID'), {
      commands: [...training, ...answering, 'merge', 'export'],
      onResume: 'must-match',
      help: 'the base model of an adapter, where it is no longer the one that its adapter_config.json names',
      otherwise: 'that one',
      hf: 'base_model_name_or_path',
    }),
    config: optional(text('FILE'), {
      commands: [...training, 'inspect'],
      onResume: 'must-match',
      help: "in place of --model: a model's config.json, to start from random weights of that shape",
      hf: 'config_name',
    }),
    tokenizer: optional(text('DIR_OR_ID'), {
      commands: loaders,
      onResume: 'must-match',
      help: 'folder or hub id of the tokenizer',
      otherwise: "the model's own",
      hf: 'tokenizer_name',
    }),
    task: optional(choice(taskNames), {
      commands: [...training, 'inspect'],
      onResume: 'must-match',
      help: 'what the model is for: a label for each text, or one for each token, as entities are found; or, with masked-lm, texts without labels',
      otherwise: 'as the data are: words with tags, marked parts and CoNLL files are for tokens',
    }),
    problemType: optional(choice(problemTypes), {
      commands: [...training, ...answering, 'inspect', 'merge', 'export'],
      onResume: 'must-match',
      help: 'what the head predicts, and so the loss',
      otherwise:
        'in training from the labels (lists: multi-label, decimals: regression), in evaluate and predict from the model',
    }),
    numLabels: optional(integer(1), {
      commands: training,
      onResume: 'must-match',
      help: 'outputs of the head',
      otherwise: 'counted from the labels',
    }),
    labelList: optional(list('LABEL', 'a label or several'), {
      commands: [...training, 'inspect'],
      onResume: 'must-match',
      help: 'the labels in the order of their ids; any other label is a bad row',
      otherwise: 'all labels of the data, sorted',
    }),
    maxSeqLength: optional(integer(3), {
      commands: [...trainers, ...answering, 'inspect', 'export'],
      onResume: 'must-match',
      reading: true,
      help: 'longer inputs are cut to this many tokens, special tokens included',
      otherwise: "512, or the model's positions where those are fewer",
    }),
    labelAllTokens: withDefault(toggle(), false, {
      commands: [...trainers, ...evaluators],
      onResume: 'must-match',
      reading: true,
      help: 'of tokens: all tokens of a word have its label, not the first alone',
    }),
    strictEntities: withDefault(toggle(), false, {
      commands: ['evaluate'],
      onResume: 'irrelevant',
      help: "of tokens: entities count only where they are written by the rules of their scheme, as in seqeval's strict mode",
    }),
    aggregationStrategy: optional(choice(aggregationStrategies), {
      commands: ['predict', 'serve'],
      onResume: 'irrelevant',
      reading: true,
      help: "of tokens: how they become entities, as in transformers' pipeline: each token, neighbours of one type, or words first",
      otherwise: 'as the training read its rows: first for words with labels, simple for marked parts',
    }),
    stride: optional(integerOrNone(0), {
      commands: answering,
      onResume: 'irrelevant',
      reading: true,
      help: 'read longer texts whole, as windows of --max-seq-length that share N tokens; none cuts them',
      otherwise: 'longer texts are cut',
    }),
    pooling: optional(choice(poolings), {
      commands: answering,
      onResume: 'irrelevant',
      reading: true,
      help: 'how the logits of the windows are combined, with --stride',
      otherwise: 'mean',
    }),
  }),
  ...inGroup('Data', {
    // Of masked language models.
    lineByLine: withDefault(toggle(), false, {
      commands: [...training, 'evaluate', 'export'],
      onResume: 'must-match',
      reading: true,
      help: 'with --task masked-lm each text is a row, cut at --max-seq-length; otherwise texts are put together and cut into rows of that length',
    }),
    textUnit: withDefault(choice(textUnits), 'line', {
      commands: [...training, 'evaluate', 'export'],
      onResume: 'must-match',
      reading: true,
      help: 'with --task masked-lm what a text is in .txt files: a line, or a paragraph, which ends with a blank line',
    }),
    mlmProbability: withDefault(maskingShare(), 0.15, {
      commands: training,
      onResume: 'must-match',
      help: 'with --task masked-lm the share of tokens to predict; 0.3:0.15 goes evenly from one to the other. Evaluations take 0.15',
    }),
    wholeWordMask: withDefault(toggle(), false, {
      commands: [...training, 'evaluate', 'export'],
      onResume: 'must-match',
      reading: true,
      help: 'with --task masked-lm mask all tokens of a word together',
    }),
    trainFile: withDefault(files, [], {
      commands: [...training, 'inspect'],
      onResume: 'must-match',
      help: 'training rows: csv, tsv, jsonl, json or parquet; globs work',
    }),
    validationFile: withDefault(files, [], {
      commands: [...training, ...evaluators, 'init'],
      onResume: 'must-match',
      help: 'rows to evaluate on',
      helpOf: { export: 'labelled rows on which the files are compared with the model' },
    }),
    testFile: withDefault(files, [], {
      commands: ['predict'],
      onResume: 'irrelevant',
      help: 'rows to predict; -: standard input, JSON Lines or a text a line',
    }),
    text: optional(list('TEXT', 'a text or several'), {
      commands: ['predict'],
      onResume: 'irrelevant',
      help: 'in place of files: texts to predict',
    }),
    dataset: optional(text('ID'), {
      commands: readers,
      onResume: 'must-match',
      help: 'in place of files: a hub dataset, e.g. stanfordnlp/imdb',
      hf: 'dataset_name',
    }),
    datasetConfig: optional(text('NAME'), {
      commands: readers,
      onResume: 'must-match',
      help: 'configuration of the hub dataset, e.g. sst2 of nyu-mll/glue',
      hf: 'dataset_config_name',
    }),
    trainSplit: withDefault(text('NAME'), 'train', {
      commands: [...training, 'inspect'],
      onResume: 'must-match',
      help: 'split of the hub dataset to train on',
      hf: 'train_split_name',
    }),
    validationSplit: optional(
      textOrShare('NAME_OR_SHARE', "a split's name, or a share of the training rows above 0 and below 1"),
      {
        commands: [...training, ...evaluators, 'init'],
        onResume: 'must-match',
        help: 'split of the hub dataset to evaluate on; or, as 0.1, a share of the training rows, stratified by label',
        otherwise: 'of a hub dataset validation, else test',
        hf: 'validation_split_name',
      },
    ),
    validationGroupColumn: optional(text('NAME'), {
      commands: training,
      onResume: 'must-match',
      help: 'rows with equal values in this column stay together when a share is set aside',
      otherwise: 'each row for itself',
    }),
    testSplit: withDefault(text('NAME'), 'test', {
      commands: ['predict'],
      onResume: 'irrelevant',
      help: 'split of the hub dataset to predict',
      hf: 'test_split_name',
    }),
    textColumn: optional(text('NAME'), {
      commands: readers,
      onResume: 'must-match',
      reading: true,
      help: 'column of the text',
      otherwise: 'found by its usual names (text, sentence, review ...)',
    }),
    textPairColumn: optional(text('NAME'), {
      commands: readers,
      onResume: 'must-match',
      reading: true,
      help: 'column of the second text, for pairs; none with a model of pairs reads single texts',
      otherwise: 'found with the first (sentence1 and sentence2 ...)',
    }),
    idColumn: optional(list('NAME', 'a column or several'), {
      commands: ['predict'],
      onResume: 'irrelevant',
      help: 'columns that are carried over to the predictions, such as an id',
      otherwise: 'none',
    }),
    labelColumn: optional(list('NAME', 'a column or several'), {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      reading: true,
      help: 'column of the label; or several of zeros and ones, probabilities or numbers, one for each label',
      otherwise: 'found by its usual names (label, labels, class ...)',
      hf: 'label_column_name',
    }),
    labelDelimiter: optional(text('TEXT'), {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      reading: true,
      help: 'what separates several labels written as one text, for multi-label',
      otherwise: '| or ; or a comma, whichever the first labels show',
    }),
    labelFormat: optional(choice(labelFormats), {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      reading: true,
      help: 'what lists hold: names or ids of classes, zeros and ones by position, probabilities, or numbers to predict',
      otherwise: 'decided from the first rows, and logged with an example',
    }),
    foldLabels: withDefault(toggle(), false, {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      reading: true,
      help: 'labels that differ only in white space, case, width, composed accents or invisible characters are one',
    }),
    naLabels: optional(list('LABEL', 'a label or several'), {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      reading: true,
      help: 'labels that mean that a row has none, such as n/a (na_values of pandas); these rows are left out',
      otherwise: 'rows without a label are bad rows',
    }),
    softLabels: withDefault(toggle(), false, {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      reading: true,
      help: 'labels are probabilities, in a column for each, in lists, or as predict writes them; metrics other than the loss take the likeliest',
    }),
    hardLabelColumn: optional(text('NAME'), {
      commands: training,
      onResume: 'must-match',
      help: "with softLabels and distillationAlpha: the column with the training rows' own labels, beside those of the teacher",
      otherwise: 'none',
    }),
    labelCorrections: optional(text('FILE'), {
      commands: training,
      onResume: 'must-match',
      help: 'a file of inspect --label-errors, as a person left it: its suggested labels replace those of the training rows',
      otherwise: 'none',
    }),
    entityOffsets: optional(choice(entityOffsets), {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      reading: true,
      help: 'of marked parts of texts: places count code points, as in Python, or UTF-16 units, as in JavaScript and in what predict writes',
      otherwise:
        'auto: what fits the text that entities repeat, else code points; of Label Studio UTF-16 units',
    }),
    badRows: withDefault(choice(['stop', 'skip']), 'stop', {
      commands: readers,
      // Which rows it skips is compared.
      onResume: 'irrelevant',
      help: 'a row that cannot be used stops the run, or is skipped and reported',
    }),
    quoting: withDefault(choice(['minimal', 'none']), 'minimal', {
      commands: readers,
      onResume: 'must-match',
      reading: true,
      help: 'none: quotes in CSV and TSV are characters like others, as in the files of GLUE',
    }),
    encoding: optional(text('NAME'), {
      commands: readers,
      onResume: 'must-match',
      reading: true,
      help: 'the encoding of text files without a byte order mark, such as windows-1252, shift_jis or gb18030',
      otherwise: 'UTF-8',
    }),
    escape: optional(text('CHAR'), {
      commands: readers,
      onResume: 'must-match',
      reading: true,
      help: 'in CSV and TSV this character makes the next one a character like others: \\ where quotes are written \\"; none as without',
      otherwise: 'none; quotes in quotes are doubled',
    }),
    jsonField: optional(text('NAME'), {
      commands: readers,
      onResume: 'must-match',
      reading: true,
      help: 'the list with the rows in a JSON file that is one object: data of {"data": [...]}; none as without',
      otherwise: 'the only list, or the one named as the split',
    }),
    maxRowBytes: withDefault(integer(1024, { max: 2 ** 29 }), DEFAULT_LIMITS.maxRowBytes, {
      commands: readers,
      // Which rows it skips is compared.
      onResume: 'irrelevant',
      reading: true,
      help: 'a row of a text file that is longer is a bad row (16 MiB)',
    }),
    maxCompressionRatio: withDefault(integer(1), DEFAULT_LIMITS.maxCompressionRatio, {
      commands: readers,
      onResume: 'irrelevant',
      help: 'a file that grows by more than this factor when it is decompressed is refused (beyond 64 MiB)',
    }),
    maxTrainSamples: optional(integer(1), {
      commands: [...training, 'inspect'],
      onResume: 'must-match',
      help: 'train on the first N rows only',
      otherwise: 'all',
    }),
    maxEvalSamples: optional(integer(1), {
      commands: [...training, ...evaluators, 'inspect'],
      onResume: 'must-match',
      help: 'evaluate on the first N rows only',
      otherwise: 'all',
    }),
    maxPredictSamples: optional(integer(1), {
      commands: ['predict'],
      onResume: 'irrelevant',
      help: 'predict the first N rows only',
      otherwise: 'all',
    }),
  }),
};
