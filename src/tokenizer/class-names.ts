// Which class of transformers 5.18 the tokenizer of a folder is of, by the names in its files.
import { UsageError } from '../util/errors.js';
import { quoted } from '../util/text.js';

/** The class of transformers that reads a tokenizer.json as it stands. */
export const BACKEND = 'TokenizersBackend';
/** Its names in older files, and classes that add nothing to it. */
const BACKENDS = new Set([
  BACKEND,
  'PreTrainedTokenizer',
  'PythonBackend',
  'ConvBertTokenizer',
  'BloomTokenizer',
  'FNetTokenizer',
]);

/**
 * Classes of transformers 5.18 that tokenize in Python, with dictionaries or rules of their own: no tokenizer.json says
 * what they do, and they do not read one (but RoFormer's, to which they add the words of a Chinese dictionary).
 */
const IN_PYTHON = new Set(
  (
    'Bartpho BertGeneration BertJapanese Bertweet BioGpt BlenderbotSmall ByT5 CTRL Canine Clvp CpmAnt Cpm Dia Esm FSMT ' +
    'Flaubert GPTNeoXJapanese GPTSw3 M2M100 Marian Mgpstr MyT5 PLBart Perceiver Phobert Pop2Piano ProphetNet RoCBert RoFormer ' +
    'Siglip Speech2Text SpeechT5 Tapas Vits Wav2Vec2CTC Wav2Vec2PhonemeCTC XLM'
  )
    .split(' ')
    .map((name) => `${name}Tokenizer`),
);

/**
 * What transformers takes for a model of which nothing names the tokenizer's class: of its `TOKENIZER_MAPPING_NAMES` the models
 * that encode texts.
 */
const MODELS_OF: Readonly<Record<string, string>> = {
  AlbertTokenizer: 'albert yoso',
  BertGenerationTokenizer: 'bert-generation',
  BertJapaneseTokenizer: 'bert-japanese',
  BertTokenizer:
    'bert convbert distilbert electra ernie layoutlm megatron-bert nezha nomic_bert squeezebert visual_bert',
  BertweetTokenizer: 'bertweet',
  BigBirdTokenizer: 'big_bird',
  CamembertTokenizer: 'camembert',
  CanineTokenizer: 'canine',
  DPRQuestionEncoderTokenizer: 'dpr',
  DebertaTokenizer: 'deberta',
  DebertaV2Tokenizer: 'deberta-v2',
  EsmTokenizer: 'esm',
  FNetTokenizer: 'fnet',
  FlaubertTokenizer: 'flaubert',
  FunnelTokenizer: 'funnel',
  HerbertTokenizer: 'herbert',
  LukeTokenizer: 'luke',
  LxmertTokenizer: 'lxmert',
  MLukeTokenizer: 'mluke',
  MPNetTokenizer: 'mpnet',
  MobileBertTokenizer: 'mobilebert',
  PerceiverTokenizer: 'perceiver',
  PhobertTokenizer: 'phobert',
  ProphetNetTokenizer: 'prophetnet',
  RemBertTokenizer: 'rembert',
  RoCBertTokenizer: 'roc_bert',
  RoFormerTokenizer: 'roformer',
  RobertaTokenizer: 'bart data2vec-text ibert lilt longformer mega mra roberta roberta-prelayernorm',
  SplinterTokenizer: 'splinter',
  TapasTokenizer: 'tapas',
  [BACKEND]: 'camembertv2-base modernbert nystromformer xlm-roberta-xl',
  XLMRobertaTokenizer: 'gte jina_embeddings_v3 xlm-roberta xmod',
  XLMTokenizer: 'xlm',
  XLNetTokenizer: 'xlnet',
};
const BY_MODEL_TYPE = new Map(
  Object.entries(MODELS_OF).flatMap(([name, types]) => types.split(' ').map((type) => [type, name] as const)),
);

/**
 * The class that transformers takes, without the `Fast` of older versions; undefined where nothing says which.
 *
 * @param named in tokenizer_config.json or config.json
 * @throws UsageError for a class that tokenizes in Python
 */
export function tokenizerClassName(
  named: string | null | undefined,
  { modelType, where }: { modelType?: string | undefined; where: string },
): string | undefined {
  const registered = BY_MODEL_TYPE.get(modelType ?? '');
  if (registered === BACKEND) return BACKEND;
  const name = (named || registered)?.replace(/Fast$/, '');
  if (name === undefined) return undefined;
  if (IN_PYTHON.has(name))
    throw new UsageError(
      `${where} ${named ? 'names' : `has the model type ${quoted(modelType ?? '')}, whose tokenizer is`} ${quoted(name)}, which cuts ` +
        'texts with Python code of its own; bertune has no such code, so that the tokens would be others than in transformers: use a model whose tokenizer is a tokenizer.json',
    );
  return BACKENDS.has(name) ? BACKEND : name;
}
