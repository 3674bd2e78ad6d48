// How a model is used, as the code of a model card: in Python, in transformers.js where there is an ONNX export, and with bertune.
import type { ModelFacts } from './facts.js';

/** The Markdown of all that applies. */
export function usage(facts: ModelFacts): string {
  const name = nameOf(facts);
  const parts = [
    ['Python', 'python', facts.isAdapter ? adapterInPython(facts, name) : inPython(facts, name)],
    ...(facts.hasOnnx ? [['transformers.js', 'js', inTransformersJs(facts, name)]] : []),
    [
      'bertune',
      'bash',
      `npx bertune predict --model ${name} --test-file texts.csv --output-file predictions.csv`,
    ],
    ['In a script', 'ts', inScript(facts, name)],
  ];
  return parts
    .map(([title, language, code]) => `### ${title}\n\n\`\`\`${language}\n${code}\n\`\`\`\n`)
    .join('\n');
}

/** The folder's name as it can stand in any of these languages, unquoted in a shell too. */
function nameOf({ name }: ModelFacts): string {
  const safe = name.replaceAll(/[^\p{L}\p{N}._-]/gu, '_').replace(/^-/, '_');
  return safe === '' ? 'model' : safe;
}

/** Several labels need all scores; transformers takes the function for the scores from config.json. */
function argumentsOf({ task, maxLength }: ModelFacts): string {
  const all = task.problemType === 'multi_label_classification' ? 'top_k=None, ' : '';
  const raw = task.problemType === 'regression' ? 'function_to_apply="none", ' : '';
  return `${all}${raw}truncation=True, max_length=${maxLength}`;
}

function inPython(facts: ModelFacts, name: string): string {
  const texts = facts.readsPairs ? '{"text": "The first text", "text_pair": "The second"}' : '"A text"';
  return `from transformers import pipeline

classifier = pipeline("text-classification", model="${name}")
print(classifier(${texts}, ${argumentsOf(facts)}))`;
}

function adapterInPython({ task, readsPairs, maxLength }: ModelFacts, name: string): string {
  const texts = readsPairs ? '"The first text", "The second"' : '"A text"';
  return `import torch
from peft import AutoPeftModelForSequenceClassification
from transformers import AutoTokenizer

model = AutoPeftModelForSequenceClassification.from_pretrained("${name}", num_labels=${task.labels.length})
tokenizer = AutoTokenizer.from_pretrained("${name}")
batch = tokenizer(${texts}, truncation=True, max_length=${maxLength}, return_tensors="pt")
with torch.no_grad():
    print(model.eval()(**batch).logits)`;
}

/** Its pipeline takes no pairs, and gives a regression a softmax; so these get the model itself. */
function inTransformersJs({ task, readsPairs, maxLength }: ModelFacts, name: string): string {
  if (!readsPairs && task.problemType !== 'regression') {
    const all = task.problemType === 'multi_label_classification' ? ', { top_k: null }' : '';
    return `import { pipeline } from '@huggingface/transformers';

const classifier = await pipeline('text-classification', '${name}');
console.log(await classifier('A text'${all}));`;
  }
  const texts = readsPairs ? "'The first text', { text_pair: 'The second', " : "'A text', { ";
  return `import { AutoModelForSequenceClassification, AutoTokenizer } from '@huggingface/transformers';

const tokenizer = await AutoTokenizer.from_pretrained('${name}');
const model = await AutoModelForSequenceClassification.from_pretrained('${name}');
const { logits } = await model(tokenizer(${texts}truncation: true, max_length: ${maxLength} }));
console.log(logits.tolist());`;
}

function inScript({ readsPairs, maxLength }: ModelFacts, name: string): string {
  const texts = readsPairs ? "{ text: 'The first text', textPair: 'The second' }" : "'A text'";
  return `import { AutoModelForSequenceClassification, AutoTokenizer, predict } from 'bertune';

const model = await AutoModelForSequenceClassification.fromPretrained('${name}');
const tokenizer = await AutoTokenizer.fromPretrained('${name}');
console.log(await predict(model, tokenizer, [${texts}], { maxSeqLength: ${maxLength} }));
await model.close();`;
}
