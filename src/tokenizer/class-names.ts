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

/** What transformers takes for a model of which nothing names the tokenizer's class. */
const BY_MODEL_TYPE: Readonly<Record<string, string>> = {
  bert: 'BertTokenizer',
  electra: 'BertTokenizer',
  distilbert: 'BertTokenizer',
  funnel: 'FunnelTokenizer',
  roberta: 'RobertaTokenizer',
  'xlm-roberta': 'XLMRobertaTokenizer',
  camembert: 'CamembertTokenizer',
  mpnet: 'MPNetTokenizer',
  albert: 'AlbertTokenizer',
  modernbert: BACKEND,
};

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
  const registered =
    modelType !== undefined && Object.hasOwn(BY_MODEL_TYPE, modelType) ? BY_MODEL_TYPE[modelType] : undefined;
  if (!named || registered === BACKEND) return registered;
  const name = named.replace(/Fast$/, '');
  if (IN_PYTHON.has(name))
    throw new UsageError(
      `${where} names ${quoted(name)}, which cuts texts with Python code of its own; bertune has no such code, so that ` +
        'the tokens would be others than in transformers: use a model whose tokenizer is a tokenizer.json',
    );
  return BACKENDS.has(name) ? BACKEND : name;
}
