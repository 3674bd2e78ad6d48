// The body of a model card: Markdown made of what is known of a model. Names of labels and files come from data, so none of
// them may be taken for markup.
import { maskedLm, multiLabel, regression, tokenClassification } from '../tasks/index.js';
import { formatNumber } from '../terminal/progress.js';
import { cleaned, ownMetrics, titleName, type DataSource, type ModelFacts } from './facts.js';

/** Labels that are listed; config.json has all. */
const MOST_LABELS = 50;

/** The Markdown, from the title on. */
export function bodyOf(facts: ModelFacts): string {
  const sections = [
    `${heading(facts.name)}\n\n${introduction(facts)}\n`,
    section('Labels', labels(facts)),
    section('Evaluation', evaluation(facts)),
    section('Training', training(facts)),
    section('Usage', usage(facts)),
    section('Versions', versions(facts)),
  ];
  return sections.filter((text) => text !== '').join('\n');
}

function heading(name: string): string {
  return `# ${markdown(titleName(name))}`;
}

function section(subject: string, text: string): string {
  return text === '' ? '' : `## ${subject}\n\n${text}`;
}

function introduction({ className, base, isAdapter, trainedOn }: ModelFacts): string {
  const kind = isAdapter ? `A LoRA adapter of a \`${className}\`` : `A \`${className}\``;
  const start = isAdapter ? 'trained for' : 'fine-tuned from';
  const from =
    base === 'random weights'
      ? 'trained from random weights'
      : `${start} ${base === 'folder' ? 'a model of a local folder' : hubLink(base.id)}`;
  return `${kind}, ${from}${trainedOn === null ? '' : ` on ${sourceText(trainedOn)}`}.`;
}

function hubLink(id: string, kind = ''): string {
  return `[${markdown(id)}](https://huggingface.co/${kind}${encodeURI(id)})`;
}

function sourceText({ id, name, config, split, share }: DataSource): string {
  const parts = [
    ...(config === undefined ? [] : [`configuration ${markdown(config)}`]),
    ...(split === undefined ? [] : [`split ${markdown(split)}`]),
    ...(share === undefined ? [] : [`a share of ${share} that was set aside`]),
  ];
  const title = id === null ? markdown(name) : hubLink(id, 'datasets/');
  return parts.length === 0 ? title : `${title} (${parts.join(', ')})`;
}

function labels({ task, readsPairs }: ModelFacts): string {
  const input = readsPairs ? 'pair of texts' : 'text';
  const count = task.labels.length;
  if (task.problemType === maskedLm.problemType) return '';
  if (task.problemType === regression.problemType)
    return count === 1 ? `One number for each ${input}.\n` : `${count} numbers for each ${input}.\n`;
  if (isOfTokens(task)) {
    const types = [
      ...new Set(
        task.labels.filter((label) => label !== 'O').map((label) => label.replace(/^[BIESLU]-/, '')),
      ),
    ];
    const shown = types.slice(0, MOST_LABELS).map((type) => [markdown(type)]);
    return `Entities of these types, by one label for each token.\n\n${table(['Type'], shown)}`;
  }
  const which = task.problemType === multiLabel.problemType ? 'Any number of these' : 'One of these';
  const rows = task.labels.slice(0, MOST_LABELS).map((label, id) => [String(id), markdown(label)]);
  const rest = count > MOST_LABELS ? `\nThese are the first of ${count}; config.json has all.\n` : '';
  return `${which} for each ${input}.\n\n${table(['Id', 'Label'], rows)}${rest}`;
}

function isOfTokens(task: ModelFacts['task']): boolean {
  return task.problemType === tokenClassification.problemType;
}

function evaluation({ evaluation: found }: ModelFacts): string {
  const rows = ownMetrics(found?.metrics ?? {}).filter(([, value]) => Number.isFinite(value));
  if (found === null || rows.length === 0) return '';
  const { eval_samples: count } = found.metrics;
  const on =
    found.on === null
      ? ''
      : `On ${sourceText(found.on)}${count === undefined ? '' : `, rows: ${count}`}.\n\n`;
  const cells = rows.map(([name, value]) => [markdown(name), formatNumber(value)]);
  return `${on}${table(['Metric', 'Value'], cells)}`;
}

function training({ settings }: ModelFacts): string {
  if (settings === null) return '';
  const rows = Object.entries(settings).map(([name, value]) => [
    markdown(name),
    markdown(typeof value === 'string' ? value : JSON.stringify(value)),
  ]);
  if (rows.length === 0) return 'All options had their defaults.\n';
  return `Options that differ from their defaults:\n\n${table(['Option', 'Value'], rows)}`;
}

function versions({ versions: found }: ModelFacts): string {
  return Object.entries(found)
    .map(([name, version]) => `- ${name} ${markdown(version)}\n`)
    .join('');
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const lines = [head, head.map(() => '---'), ...rows];
  return lines.map((cells) => `| ${cells.join(' | ')} |\n`).join('');
}

/** A text as it is, whatever is in it: no markup, no HTML, no mention; in quotes where one would not see all of it. */
export function markdown(text: string): string {
  const shown = cleaned(text);
  const whole = shown === text && text !== '' ? text : JSON.stringify(shown);
  return whole
    .replaceAll(/[\\`*_{}[\]()#+!|>~$:@^=]/g, String.raw`\$&`)
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll(/(www)\./gi, String.raw`$1\.`); // GitHub's Markdown makes links of these
}

/** How the model is used: the Markdown of all that applies. */
function usage(facts: ModelFacts): string {
  const name = nameInCode(facts.name);
  if (facts.task.problemType === maskedLm.problemType) return usageOfMaskedLm(name);
  const parts = [
    ['Python', 'python', facts.isAdapter ? adapterInPython(facts, name) : inPython(facts, name)],
    ...(facts.hasOnnx
      ? [['transformers.js', 'js', inTransformersJs(facts, name)]]
      : [
          [
            'transformers.js, by an export to ONNX',
            'bash',
            `npx bertune export --model ${name} --output-dir model-onnx`,
          ],
          ['', 'js', inTransformersJs(facts, './model-onnx')],
        ]),
    [
      'bertune',
      'bash',
      `npx bertune predict --model ${name} --test-file texts.${isOfTokens(facts.task) ? 'txt' : 'csv'} --output-file predictions.csv`,
    ],
    ['In a script', 'ts', inScript(facts, name)],
  ];
  return parts
    .map(
      ([subject, language, code]) =>
        `${subject === '' ? '' : `### ${subject}\n\n`}\`\`\`${language}\n${code}\n\`\`\`\n`,
    )
    .join('\n');
}

function usageOfMaskedLm(name: string): string {
  return `### Python

\`\`\`python
from transformers import pipeline

fill = pipeline("fill-mask", model="${name}")
print(fill(f"A text with a {fill.tokenizer.mask_token}."))
\`\`\`

### bertune, to train a classifier from it

\`\`\`bash
npx bertune train --model ${name} --train-file labelled.csv --output-dir classifier
\`\`\`
`;
}

/** A name as it can stand in any of these languages, unquoted in a shell too. */
function nameInCode(name: string): string {
  const safe = name.replaceAll(/[^\p{L}\p{N}._/-]/gu, '_').replace(/^-/, '_');
  return safe === '' ? 'model' : safe;
}

/** Where the code has the name of the model. */
const NAMES =
  /(?<before>\bmodel="|\bfrom_?[pP]retrained\(["']|'(?:text|token)-classification', '|--model )(?!\.\/)[\p{L}\p{N}._/-]+/gu;

/** The body of a card with another name for the model: its title and its code. */
export function renamedBody(body: string, name: string): string {
  const start = body.indexOf('\n## Usage\n');
  const described = body.slice(0, start).replace(/^# .*$/m, () => heading(name));
  return described + body.slice(start).replaceAll(NAMES, `$<before>${nameInCode(name)}`);
}

/** Several labels need all scores; transformers takes the function for the scores from config.json. */
function argumentsOf({ task, maxLength }: ModelFacts): string {
  const all = task.problemType === multiLabel.problemType ? 'top_k=None, ' : '';
  const raw = task.problemType === regression.problemType ? 'function_to_apply="none", ' : '';
  return `${all}${raw}truncation=True, max_length=${maxLength}`;
}

function inPython(facts: ModelFacts, name: string): string {
  if (isOfTokens(facts.task))
    return `from transformers import pipeline

recognizer = pipeline("token-classification", model="${name}", aggregation_strategy="first")
print(recognizer("A text"))`;
  const texts = facts.readsPairs ? '{"text": "The first text", "text_pair": "The second"}' : '"A text"';
  return `from transformers import pipeline

classifier = pipeline("text-classification", model="${name}")
print(classifier(${texts}, ${argumentsOf(facts)}))`;
}

function adapterInPython({ task, readsPairs, maxLength }: ModelFacts, name: string): string {
  const texts = readsPairs ? '"The first text", "The second"' : '"A text"';
  const peftClass = `AutoPeftModelFor${isOfTokens(task) ? 'Token' : 'Sequence'}Classification`;
  return `import torch
from peft import ${peftClass}
from transformers import AutoTokenizer

model = ${peftClass}.from_pretrained("${name}", num_labels=${task.labels.length})
tokenizer = AutoTokenizer.from_pretrained("${name}")
batch = tokenizer(${texts}, truncation=True, max_length=${maxLength}, return_tensors="pt")
with torch.no_grad():
    print(model.eval()(**batch).logits)`;
}

/** Its pipeline takes no pairs, and gives a regression a softmax; so these get the model itself. */
function inTransformersJs({ task, readsPairs, maxLength }: ModelFacts, name: string): string {
  if (isOfTokens(task))
    return `import { pipeline } from '@huggingface/transformers';

const recognizer = await pipeline('token-classification', '${name}');
console.log(await recognizer('A text'));`;
  if (!readsPairs && task.problemType !== regression.problemType) {
    const all = task.problemType === multiLabel.problemType ? ', { top_k: null }' : '';
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

function inScript({ task, readsPairs, maxLength }: ModelFacts, name: string): string {
  if (isOfTokens(task))
    return `import { AutoModelForTokenClassification, AutoTokenizer, extractEntities } from 'bertune';

const model = await AutoModelForTokenClassification.fromPretrained('${name}');
const tokenizer = await AutoTokenizer.fromPretrained('${name}');
console.log(await extractEntities(model, tokenizer, ['A text']));
await model.close();`;
  const texts = readsPairs ? "{ text: 'The first text', textPair: 'The second' }" : "'A text'";
  return `import { AutoModelForSequenceClassification, AutoTokenizer, predict } from 'bertune';

const model = await AutoModelForSequenceClassification.fromPretrained('${name}');
const tokenizer = await AutoTokenizer.fromPretrained('${name}');
console.log(await predict(model, tokenizer, [${texts}], { maxSeqLength: ${maxLength} }));
await model.close();`;
}
