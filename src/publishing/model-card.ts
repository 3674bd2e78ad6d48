// The body of a model card: Markdown made of what is known of a model. Names of labels and files come from data, so none of
// them may be taken for markup.
import { formatNumber } from '../terminal/progress.js';
import { cleaned, ownMetrics, type DataSource, type ModelFacts } from './facts.js';
import { usage } from './usage.js';

/** Labels that are listed; config.json has all. */
const MOST_LABELS = 50;

/** The Markdown, from the title on. */
export function bodyOf(facts: ModelFacts): string {
  const sections = [
    `# ${markdown(facts.name)}\n\n${introduction(facts)}\n`,
    section('Labels', labels(facts)),
    section('Evaluation', evaluation(facts)),
    section('Training', training(facts)),
    section('Usage', usage(facts)),
    section('Versions', versions(facts)),
  ];
  return sections.filter((text) => text !== '').join('\n');
}

function section(title: string, text: string): string {
  return text === '' ? '' : `## ${title}\n\n${text}`;
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
  if (task.problemType === 'regression')
    return count === 1 ? `One number for each ${input}.\n` : `${count} numbers for each ${input}.\n`;
  const which = task.problemType === 'multi_label_classification' ? 'Any number of these' : 'One of these';
  const rows = task.labels.slice(0, MOST_LABELS).map((label, id) => [String(id), markdown(label)]);
  const rest = count > MOST_LABELS ? `\nThese are the first of ${count}; config.json has all.\n` : '';
  return `${which} for each ${input}.\n\n${table(['Id', 'Label'], rows)}${rest}`;
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
    .replaceAll('<', '&lt;');
}
