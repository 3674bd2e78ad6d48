// How a model is trained. Options of the table (see table.ts).
import {
  choice,
  epochOrSteps,
  integer,
  labelWeights,
  list,
  patternFactors,
  notNegative,
  real,
  steps,
  textOrTrue,
  toggle,
} from './kinds.js';
import { inGroup, optional, trainers, training, withDefault } from './option.js';
import { schedulerKwargs, schedulerTypes } from './schedulers.js';

const positive = real('above 0', (n) => n > 0);
const atLeastOne = real('of at least 1', (n) => n >= 1 && n < 1e6);
const fraction = real('from 0 to below 1', (n) => n >= 0 && n < 1);
const share = real('from 0 to 1', (n) => n >= 0 && n <= 1);
const temperature = real('from 0.01 to 1000', (n) => n >= 0.01 && n <= 1000);
const seed = integer(0, { max: 2 ** 32 - 1 });
const optimizers = ['adamw_torch_fused', 'adamw_torch', 'adam', 'sgd', 'adagrad'] as const;

export const trainingOptions = {
  ...inGroup('Training', {
    numTrainEpochs: withDefault(positive, 3, {
      commands: [...trainers, 'inspect'],
      onResume: 'may-change',
      help: 'passes over the training rows; 0.5 is half a pass',
    }),
    maxSteps: withDefault(integer(1, { also: -1 }), -1, {
      commands: trainers,
      onResume: 'may-change',
      help: 'stop after N optimizer steps whatever the epochs; -1 means by epochs',
    }),
    perDeviceTrainBatchSize: withDefault(integer(1), 8, {
      commands: [...trainers, 'inspect'],
      onResume: 'must-match',
      help: 'rows a batch',
    }),
    gradientAccumulationSteps: withDefault(integer(1), 1, {
      commands: [...trainers, 'inspect'],
      onResume: 'must-match',
      help: 'batches an optimizer step; the result does not depend on how a step is cut into batches',
    }),
    autoFindBatchSize: withDefault(toggle(), false, {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'where memory runs out, cut batches further and continue; the gradients stay the same',
    }),
    gradientCheckpointing: withDefault(toggle(), false, {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'compute layers again in the backward pass instead of keeping them: less memory, more time, same result',
    }),
    gradientReduceDtype: withDefault(choice(['float32', 'bfloat16']), 'float32', {
      commands: trainers,
      onResume: 'may-change',
      help: 'of several processes, what gradients are rounded to when they are summed; bfloat16 is half the traffic',
    }),
    ddpBackend: optional(choice(['nccl', 'gloo']), {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'of several processes, what sums gradients: nccl from GPU to GPU, gloo by way of the host; left out, nccl where all have it',
    }),
    cudaGraphs: withDefault(toggle(), true, {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'on a CUDA device, record the launches of a step once for each size of batch and repeat them: same result',
    }),
    learningRate: withDefault(positive, 5e-5, {
      commands: [...trainers, 'inspect'],
      onResume: 'may-change',
      help: 'peak learning rate',
    }),
    lrSchedulerType: withDefault(choice(schedulerTypes), 'linear', {
      commands: trainers,
      onResume: 'may-change',
      help: 'how the learning rate develops after warmup',
    }),
    lrSchedulerKwargs: optional(schedulerKwargs(), {
      commands: trainers,
      onResume: 'may-change',
      help: 'further arguments of the schedule, by their names in HF, e.g. {"num_cycles": 2}',
      otherwise: "HF's",
    }),
    warmupSteps: withDefault(steps({ allowZero: true }), 0, {
      commands: trainers,
      onResume: 'may-change',
      help: 'steps of linear warmup, or below 1 the share of all steps',
    }),
    optim: withDefault(choice(optimizers), 'adamw_torch_fused', {
      commands: trainers,
      onResume: 'must-match',
      help: 'optimizer, as torch.optim; adamw_torch is the same as adamw_torch_fused',
    }),
    momentum: withDefault(fraction, 0, {
      commands: trainers,
      onResume: 'must-match',
      help: 'with --optim sgd: momentum',
    }),
    weightDecay: withDefault(notNegative, 0, {
      commands: trainers,
      onResume: 'may-change',
      help: 'weight decay, not applied to biases and LayerNorm; with another optimizer than AdamW an L2 term',
    }),
    adamBeta1: withDefault(fraction, 0.9, {
      commands: trainers,
      onResume: 'may-change',
      help: 'beta 1 of AdamW and Adam',
      hf: 'adam_beta1',
    }),
    adamBeta2: withDefault(fraction, 0.999, {
      commands: trainers,
      onResume: 'may-change',
      help: 'beta 2 of AdamW and Adam',
      hf: 'adam_beta2',
    }),
    adamEpsilon: withDefault(positive, 1e-8, {
      commands: trainers,
      onResume: 'may-change',
      help: 'epsilon of AdamW and Adam',
    }),
    maxGradNorm: withDefault(notNegative, 1, {
      commands: trainers,
      onResume: 'may-change',
      help: 'clip the gradient to this norm; 0 does not clip',
    }),
    nonfiniteGradient: withDefault(choice(['stop', 'skip', 'rollback']), 'stop', {
      commands: trainers,
      onResume: 'may-change',
      help: 'a step whose loss or gradient is NaN or infinite changes no weight; then stop the run, skip the step and count it, or return to the last checkpoint and continue with the next rows',
    }),
    labelSmoothingFactor: withDefault(fraction, 0, {
      commands: trainers,
      onResume: 'may-change',
      help: 'label smoothing, for classes; evaluation stays unsmoothed, unlike HF',
    }),
    classWeights: optional(labelWeights(), {
      commands: trainers,
      onResume: 'may-change',
      help: 'for one label a row: a weight of each label in the loss, in the order of their ids, or balanced, by how rare each is; evaluation stays unweighted',
      otherwise: 'equal',
    }),
    posWeight: optional(labelWeights(), {
      commands: trainers,
      onResume: 'may-change',
      help: 'for several labels a row: a weight of each label where a row has it, or balanced, rows without by rows with it',
      otherwise: 'equal',
    }),
    neftuneNoiseAlpha: optional(notNegative, {
      commands: trainers,
      onResume: 'must-match',
      help: 'noise on word embeddings in training (NEFTune, Jain et al. 2023); the paper tries 5, 10 and 15',
      otherwise: 'none',
    }),
    focalGamma: optional(notNegative, {
      commands: trainers,
      onResume: 'may-change',
      help: 'focal loss: how far rows that are right already count less, e.g. 2',
      otherwise: 'none',
    }),
    distillationTemperature: optional(temperature, {
      commands: trainers,
      onResume: 'may-change',
      help: 'with labels that are probabilities of a teacher: how much its answers and those of the student are softened before they are compared, e.g. 2 (Hinton et al. 2015)',
      otherwise: '1',
    }),
    distillationAlpha: optional(share, {
      commands: trainers,
      onResume: 'may-change',
      help: "with probabilities of a teacher: their share in the loss, from 0 to 1; the rest is that of the rows' own labels, in hardLabelColumn (Hinton et al. 2015)",
      otherwise: '1',
    }),
    freeze: optional(list('PATTERN', 'a pattern of tensor names or several'), {
      commands: trainers,
      onResume: 'may-change',
      help: 'tensors that stay as they are, e.g. bert.embeddings "bert.encoder.layer.{0..5}"; the layers below the lowest trained one cost no backward pass',
      otherwise: 'none',
    }),
    gradualUnfreezing: optional(epochOrSteps(), {
      commands: trainers,
      onResume: 'may-change',
      help: 'start with the head alone and add a layer from the top every epoch, or every N steps',
      otherwise: 'no',
    }),
    layerLrDecay: optional(atLeastOne, {
      commands: trainers,
      onResume: 'may-change',
      help: 'discriminative learning rates: each layer learns at the rate of the one above it divided by this, e.g. 2.6',
      otherwise: '1',
    }),
    lrFactors: optional(patternFactors(), {
      commands: trainers,
      onResume: 'may-change',
      help: "factors of the learning rate by tensor name, e.g. 'classifier=10'; of several that match the last counts",
      otherwise: 'none',
    }),
    loraRank: optional(integer(1), {
      commands: training,
      onResume: 'must-match',
      help: 'LoRA: train low-rank updates of this rank and the head in place of all weights, and save them as PEFT does',
      otherwise: 'all weights are trained',
      hf: 'r',
    }),
    loraAlpha: optional(positive, {
      commands: training,
      onResume: 'must-match',
      help: 'updates of LoRA are scaled by this over the rank',
      otherwise: "8, PEFT's",
    }),
    loraDropout: optional(fraction, {
      commands: training,
      onResume: 'must-match',
      help: 'dropout before the updates of LoRA',
      otherwise: '0',
    }),
    loraTargetModules: optional(list('NAME', 'a name or pattern of linear layers, or several'), {
      commands: training,
      onResume: 'must-match',
      help: 'linear layers that get updates: query, key, value, attention.output.dense, intermediate.dense, output.dense, pooler.dense, a pattern, or all-linear',
      otherwise: "query value, PEFT's",
      hf: 'target_modules',
    }),
    trainSamplingStrategy: withDefault(choice(['random', 'group_by_length', 'sequential']), 'random', {
      commands: trainers,
      onResume: 'must-match',
      help: 'which rows form a batch; nothing is padded, so none of the three wastes work',
    }),
    seed: withDefault(seed, 42, {
      commands: [...trainers, 'inspect'],
      onResume: 'must-match',
      help: 'seed of initial weights, dropout and order',
    }),
    dataSeed: optional(seed, {
      commands: trainers,
      onResume: 'must-match',
      help: 'seed of the order of rows',
      otherwise: '--seed',
    }),
    resumeFromCheckpoint: optional(textOrTrue('DIR', 'a checkpoint folder, auto, true or false'), {
      commands: trainers,
      onResume: 'irrelevant',
      help: 'resume from a checkpoint; without a folder, from the newest one in the output folder; auto: from the newest that is complete, or else from the start',
    }),
  }),
};
