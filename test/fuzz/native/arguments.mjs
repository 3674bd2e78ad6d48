// Right arguments of every call of a session: what the fuzz then makes wrong.

/** @typedef {import('../../../scripts/fuzz/seeded-random.mjs').SeededRandom} SeededRandom */
/** @typedef {import('../../fixtures/bert-spec.mjs').BertShape} BertShape */

/** Heads and hidden sizes: odd ones, such that fit no vector, and such that are wider than a tile of a product. */
const SHAPES = /** @type {const} */ ([
  [2, 16],
  [3, 15],
  [1, 130],
  [5, 5],
]);

/**
 * @param {SeededRandom} random
 * @returns {BertShape}
 */
export function configOf(random) {
  const [heads, hidden] = random.pick(SHAPES);
  const attention = ['query', 'key', 'value'].map((name) => `bert.encoder.layer.0.attention.self.${name}`);
  const modules = [...attention, 'bert.pooler.dense'];
  const lora = {
    modules: modules.slice(random.below(4)),
    rank: 2,
    scaling: 2,
    dropout: random.pick([0, 0.1]),
  };
  const dropout = random.pick([0, 0.1]);
  return {
    vocabSize: 40,
    hiddenSize: hidden,
    numHiddenLayers: 1 + random.below(2),
    numAttentionHeads: heads,
    intermediateSize: random.pick([20, 33]),
    hiddenAct: random.pick(['gelu', 'gelu_new', 'relu', 'silu', 'tanh']),
    hiddenDropoutProb: dropout,
    attentionProbsDropoutProb: dropout,
    classifierDropout: dropout,
    maxPositionEmbeddings: 70,
    typeVocabSize: 2,
    initializerRange: 0.02,
    layerNormEps: 1e-12,
    padTokenId: random.pick([0, -1]),
    numLabels: 3,
    problemType: random.pick(['single_label_classification', 'multi_label_classification', 'regression']),
    ...(random.chance(0.3) ? { lora } : {}),
  };
}

/**
 * @param {SeededRandom} random
 * @returns {import('../../../dist/native/index.js').SessionOptions}
 */
export function optionsOf(random) {
  const dtype = random.pick(/** @type {const} */ (['float32', 'bfloat16']));
  return { device: 'cpu', dtype, threads: 1 + random.below(2), seed: random.below(100) };
}

/**
 * @param {SeededRandom} random
 * @param {BertShape} config
 * @returns {import('../../../dist/native/index.js').PackedBatch}
 */
function batchOf(random, { vocabSize, maxPositionEmbeddings, numLabels, problemType }) {
  const cuSeqlens = [0];
  for (let i = 1 + random.below(4); i > 0; i--)
    cuSeqlens.push((cuSeqlens.at(-1) ?? 0) + 1 + random.below(random.pick([3, maxPositionEmbeddings])));
  const sequences = cuSeqlens.length - 1;
  const inputIds = Int32Array.from({ length: cuSeqlens.at(-1) ?? 0 }, () => random.below(vocabSize));
  const labels =
    problemType === 'single_label_classification'
      ? Int32Array.from({ length: sequences }, () => random.pick([-100, 0, 1, 2]))
      : Float32Array.from({ length: sequences * numLabels }, () => random.below(2));
  const types = random.chance(0.5) ? { tokenTypeIds: inputIds.map((id) => id % 2) } : {};
  return { inputIds, cuSeqlens: Int32Array.from(cuSeqlens), labels, ...types };
}

/**
 * @param {SeededRandom} random
 * @param {BertShape} config
 */
function tensorOf(random, { hiddenSize }) {
  const [name, shape] = random.pick(
    /** @type {[string, number[]][]} */ ([
      ['bert.encoder.layer.0.attention.self.value.weight', [hiddenSize, hiddenSize]],
      ['bert.embeddings.LayerNorm.bias', [hiddenSize]],
      ['classifier.bias', [3]],
    ]),
  );
  const dtype = random.pick(['F32', 'F16', 'BF16']);
  const size = shape.reduce((product, length) => product * length, dtype === 'F32' ? 4 : 2);
  return { name, tensor: { dtype, shape, data: new Uint8Array(size).fill(random.below(50)) } };
}

/** @param {SeededRandom} random */
function kindOf(random) {
  return random.pick(['weight', 'gradient', 'step', 'exp_avg', 'exp_avg_sq', 'momentum_buffer', 'sum']);
}

/**
 * @param {SeededRandom} random
 * @param {BertShape} config
 */
function lossOf(random, { problemType }) {
  if (problemType === 'regression') return {};
  const name = problemType === 'single_label_classification' ? 'classWeights' : 'posWeight';
  const isMulti = problemType === 'multi_label_classification';
  const shape = random.pick([
    {},
    { labelSmoothing: 0.1 },
    { focalGamma: 2 },
    ...(isMulti ? [{ temperature: 2 }] : []),
  ]);
  return { ...shape, ...random.pick([{}, { [name]: Float32Array.of(1, 2, 3) }]) };
}

/** @type {Record<string, (random: SeededRandom, config: BertShape, isTyped: boolean) => unknown[]>} */
export const rightArguments = {
  open: () => [],
  read: (random, config) => [tensorOf(random, config).name, kindOf(random)],
  write(random, config, isTyped) {
    const { name, tensor } = tensorOf(random, config);
    return isTyped ? [name, tensor, kindOf(random)] : [name, kindOf(random), tensor];
  },
  accumulate: (random, config) => [batchOf(random, config), { divisor: 3, ...lossOf(random, config) }],
  update: (random) => [
    {
      learningRate: 1e-3,
      beta1: 0.9,
      beta2: 0.99,
      epsilon: 1e-8,
      weightDecay: 0,
      maxGradNorm: random.below(2),
    },
  ],
  predict: (random, config) => [batchOf(random, config)],
  matmulRate: (random) => [1 + random.below(50), 1 + random.below(50), 1 + random.below(50)],
  stats: () => [],
  setProgress: (random) => [random.below(5), random.below(5), 0.5, random.below(50)],
  restart: (random) => [
    {
      optimizer: random.pick(['adamw', 'adam', 'sgd', 'adagrad']),
      momentum: random.pick([0, 0.9]),
      neftuneNoiseAlpha: random.pick([0, 5]),
      gradientCheckpointing: random.chance(0.5),
      autoFindBatchSize: random.chance(0.5),
    },
  ],
  mergeAdapters: () => [],
  configure: (random, config) => [
    [
      {
        name: tensorOf(random, config).name,
        trainable: random.chance(0.5),
        learningRateFactor: 2,
        weightDecayFactor: 0,
      },
    ],
  ],
  optimizerState: () => [],
  close: () => [],
};
