// Requests and answers in the form of Hugging Face's inference API for text classification, which huggingface_hub's and
// @huggingface/inference's clients send and read: https://huggingface.co/docs/inference-providers/tasks/text-classification
import { z } from 'zod';
import type { Entity } from '../evaluation/entities.js';
import type { EncoderModel } from '../models/encoder-model.js';
import { aggregationStrategies, type AggregationStrategy } from '../tasks/index.js';
import { sigmoid, softmax } from '../tasks/probabilities.js';
import type { TextExample } from '../tokenizer/index.js';
import { expected } from '../util/errors.js';
import { listed, oneLine } from '../util/text.js';

/** A request that gets a status other than 200, with its message as the answer. */
export class RequestError extends Error {
  constructor(
    readonly status: number,
    message: string,
    readonly headers: Readonly<Record<string, string>> = {},
  ) {
    super(message);
  }
}

const TEXT = 'a text, or {"text", "text_pair"} for a pair';
const functions = ['sigmoid', 'softmax', 'none'] as const;

const PAIR = z.strictObject({ text: z.string(), text_pair: z.string().nullish() });
const PARAMETERS = z.strictObject({
  top_k: z.int().min(1).nullish(),
  function_to_apply: z.enum(functions).nullish(),
});
const TOKEN_PARAMETERS = z.strictObject({ aggregation_strategy: z.enum(aggregationStrategies).nullish() });
/** For a model that classifies tokens. */
const TOKEN_REQUEST = z.looseObject({
  inputs: z.preprocess((inputs) => (Array.isArray(inputs) ? inputs : [inputs]), z.array(z.string()).min(1)),
  parameters: TOKEN_PARAMETERS.nullish(),
});
/** Clients put more beside these, such as the model. */
const REQUEST = z.looseObject({
  inputs: z.preprocess(
    (inputs) => (Array.isArray(inputs) ? inputs : [inputs]),
    z.array(z.union([z.string(), PAIR])).min(1),
  ),
  parameters: PARAMETERS.nullish(),
});

/** What is right at each place, by the start of its name. */
const RIGHT: readonly [string, string][] = [
  ['inputs[', TEXT],
  ['inputs', `${TEXT}, or a list of these`],
  ['parameters.aggregation_strategy', `one of ${aggregationStrategies.join(', ')}`],
  ['parameters.top_k', 'a whole number of at least 1'],
  ['parameters.function_to_apply', `one of ${functions.join(', ')}`],
  ['parameters', 'an object'],
];

/** How scores are asked for. */
export interface AnswerParameters {
  /** Only the best labels; default: all. */
  readonly topK: number | undefined;
  /** Default: that of the model's problem type. */
  readonly functionToApply: (typeof functions)[number] | undefined;
}

/**
 * Reads the body of a request.
 *
 * @param mostTexts of a request
 * @throws RequestError 400 for what is no JSON, 422 for what is not of the form, and for more texts
 */
export function parseRequest(
  body: Uint8Array,
  mostTexts: number,
): {
  readonly texts: readonly (string | TextExample)[];
  readonly parameters: AnswerParameters;
} {
  const json = requestIn(body, mostTexts);
  const parsed = REQUEST.safeParse(json);
  if (!parsed.success) throw new RequestError(422, problemOf(json, parsed.error, PARAMETERS));
  const { inputs, parameters } = parsed.data;
  return {
    texts: inputs.map(textOf),
    parameters: {
      topK: parameters?.top_k ?? undefined,
      functionToApply: parameters?.function_to_apply ?? undefined,
    },
  };
}

/** The same of a request to a model that classifies tokens. `isList`: whether the answer is to be one for each text. */
export function parseTokenRequest(
  body: Uint8Array,
  mostTexts: number,
): { texts: readonly string[]; isList: boolean; aggregationStrategy: AggregationStrategy | undefined } {
  const json = requestIn(body, mostTexts);
  const parsed = TOKEN_REQUEST.safeParse(json);
  if (!parsed.success) throw new RequestError(422, problemOf(json, parsed.error, TOKEN_PARAMETERS));
  const { inputs: texts, parameters } = parsed.data;
  const isList = 'inputs' in json && Array.isArray(json.inputs);
  return { texts, isList, aggregationStrategy: parameters?.aggregation_strategy ?? undefined };
}

/** @throws RequestError for what is no object, and for too many texts */
function requestIn(body: Uint8Array, mostTexts: number): object {
  const json = jsonOf(body);
  if (typeof json !== 'object' || json === null || Array.isArray(json))
    throw new RequestError(422, expected('an object with inputs', 'the body', json).message);
  // Before each is looked at: hundreds of thousands fit into a body, and an issue for each would take seconds.
  if ('inputs' in json && Array.isArray(json.inputs) && json.inputs.length > mostTexts)
    throw new RequestError(
      422,
      `inputs has ${json.inputs.length} texts, and a request takes ${mostTexts}; make several requests`,
    );
  return json;
}

function textOf(input: string | z.infer<typeof PAIR>): string | TextExample {
  if (typeof input === 'string') return input;
  const { text, text_pair: textPair } = input;
  return typeof textPair === 'string' ? { text, textPair } : text;
}

function jsonOf(body: Uint8Array): unknown {
  try {
    return JSON.parse(new TextDecoder('utf-8', { fatal: true }).decode(body));
  } catch (error) {
    const fault = error instanceof SyntaxError ? 'JSON' : 'UTF-8';
    throw new RequestError(400, `The body is not ${fault}; send {"inputs": "a text"}`);
  }
}

/** What is wrong first. */
function problemOf(json: object, { issues }: z.ZodError, parameters: z.ZodObject): string {
  const [issue] = issues;
  const isList = 'inputs' in json && Array.isArray(json.inputs);
  // Of a text by itself, which is made a list of one, the place is that of the text.
  const path = (issue?.path ?? []).filter((_, at) => isList || at !== 1 || issue?.path[0] !== 'inputs');
  const name = path.map((part) => (typeof part === 'number' ? `[${part}]` : `.${String(part)}`)).join('');
  const shown = name.slice(1);
  if (issue?.code === 'unrecognized_keys')
    return `${shown} has no ${listed(
      issue.keys.map((key) => oneLine(key, 40)),
      3,
    )}; it takes ${Object.keys(shown === 'parameters' ? parameters.shape : PAIR.shape).join(' and ')}`;
  let value: unknown = json;
  for (const part of path) value = valueAt(value, part);
  if (value === undefined && shown === 'inputs') return `inputs is needed: ${TEXT}, or a list of these`;
  if (shown === 'inputs' && Array.isArray(value) && value.length === 0)
    return 'inputs has no texts; give it one';
  const right = RIGHT.find(([start]) => shown.startsWith(start))?.[1] ?? 'another value';
  return expected(right, shown, value).message;
}

function valueAt(value: unknown, key: PropertyKey): unknown {
  if (typeof value !== 'object' || value === null) return undefined;
  return Object.entries(value).find(([own]) => own === String(key))?.[1];
}

/** One label of an answer. */
export interface LabelScore {
  readonly label: string;
  readonly score: number;
  /** Of a model that gives any number of labels: whether this is one of them, by its threshold. */
  readonly predicted?: boolean;
}

/** An entity as transformers' pipeline gives it; a token where they are not grouped. */
export interface EntityAnswer {
  readonly entity_group?: string;
  readonly entity?: string;
  readonly score: number;
  readonly word: string;
  readonly start: number;
  readonly end: number;
}

export function entityAnswer(
  { label, score, text: word, start, end }: Entity,
  strategy: AggregationStrategy | undefined,
): EntityAnswer {
  const named = strategy === 'none' ? { entity: label } : { entity_group: label };
  return { ...named, score, word, start, end };
}

/** The labels of a text with their scores, the highest first; of a regression its values. */
export function answerOf(
  { task, calibration }: Pick<EncoderModel, 'task' | 'calibration'>,
  logits: Float32Array,
  { topK, functionToApply }: AnswerParameters,
): LabelScore[] {
  const { label, probabilities } = task.decode(logits, calibration);
  const { temperature = 1 } = calibration;
  const scaled = Array.from(logits, (logit) => logit / temperature);
  const scoresOf = {
    softmax: () => softmax(scaled),
    sigmoid: () => scaled.map(sigmoid),
    none: () => Array.from(logits),
  };
  const { hasClasses } = task.kind;
  const usual = (): number[] =>
    hasClasses ? task.labels.map((name) => probabilities[name] ?? 0) : scoresOf.none();
  const scores = functionToApply === undefined ? usual() : scoresOf[functionToApply]();
  const given = hasClasses && Array.isArray(label) ? new Set<string | number>(label) : undefined;
  return task.labels
    .map((name, id) => ({
      label: name,
      score: scores[id] ?? 0,
      ...(given !== undefined && { predicted: given.has(name) }),
    }))
    .toSorted((a, b) => b.score - a.score)
    .slice(0, topK);
}
