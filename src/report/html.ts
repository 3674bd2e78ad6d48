// HTML in which everything that is put in is escaped, unless it was made here; and the parts that sections are made of.

/** Markup that is safe to put into a page. Only `markup` and `trusted` make it. */
export class Html {
  constructor(readonly text: string) {}
}

type Part = string | number | Html | readonly Html[] | null;

/** A template whose values are escaped; null is nothing. */
export function markup(strings: TemplateStringsArray, ...values: readonly Part[]): Html {
  let text = strings[0] ?? '';
  values.forEach((value, i) => (text += textOf(value) + (strings[i + 1] ?? '')));
  return new Html(text);
}

/** Markup of a program that escapes what it is given, such as the charts. */
export function trusted(text: string): Html {
  return new Html(text);
}

function textOf(value: Part): string {
  if (value === null) return '';
  if (value instanceof Html) return value.text;
  if (typeof value === 'object') return value.map(({ text }) => text).join('');
  return escaped(String(value));
}

const ENTITIES: Readonly<Record<string, string>> = {
  '&': '&amp;',
  '<': '&lt;',
  '>': '&gt;',
  '"': '&quot;',
  "'": '&#39;',
};
/** Control characters are no characters of HTML, and those that turn the direction of writing would turn what follows. */
const NOT_SHOWN = /[^\P{Cc}\t\n]|[\u061C\u200E\u200F\u202A-\u202E\u2066-\u2069]|\p{Cs}|[\uFFFE\uFFFF]/gu;

function escaped(text: string): string {
  return text
    .replaceAll(NOT_SHOWN, '\uFFFD')
    .replaceAll(/[&<>"']/g, (character) => ENTITIES[character] ?? '');
}

/** Text of somebody's data, cut where it is too long for a page. */
export function shortened(text: string, most: number): string {
  const characters = Array.from(text.slice(0, 2 * most + 2));
  return characters.length > most ? `${characters.slice(0, most - 1).join('')}\u2026` : text;
}

/** A column of a table. Numbers stand to the right. */
export interface Column {
  readonly name: string;
  readonly isNumber?: boolean;
}

export type Cell = string | number | Html;

/** A table that scrolls by itself where the screen is narrower. The first column heads the rows. */
export function table(columns: readonly (string | Column)[], rows: readonly (readonly Cell[])[]): Html {
  const all = columns.map((column): Column => (typeof column === 'string' ? { name: column } : column));
  const classOf = (i: number): Html => (all[i]?.isNumber === true ? markup` class="number"` : markup``);
  const head = all.map(({ name }, i) => markup`<th scope="col" ${classOf(i)}>${name}</th>`);
  const body = rows.map((row) => {
    const cells = row.map((cell, i) =>
      i === 0 ? markup`<th scope="row" ${classOf(i)}>${cell}</th>` : markup`<td${classOf(i)}>${cell}</td>`,
    );
    return markup`<tr>
      ${cells}
    </tr> `;
  });
  return markup`<div class="scroll" tabindex="0">
    <table>
      <thead>
        <tr>
          ${head}
        </tr>
      </thead>
      <tbody>
        ${body}
      </tbody>
    </table>
  </div>`;
}

/** Numbers by their column. */
export function numbers(...names: readonly string[]): Column[] {
  return names.map((name) => ({ name, isNumber: true }));
}

/** A part of the page with a heading that the list of contents leads to. */
export interface Section {
  readonly id: string;
  readonly title: string;
  readonly body: Html;
}

/** The same below a folded line. */
export function details(summary: string, body: Html): Html {
  return markup`<details>
    <summary>${summary}</summary>
    ${body}
  </details>`;
}

/** A chart with its title and, folded, its values as a table. */
export function figure(parts: {
  title: string;
  note?: string;
  chart: Html;
  table: Html;
  isWide?: boolean;
}): Html {
  const { title, note, chart, isWide = false } = parts;
  return markup`<figure${isWide ? markup` class="wide"` : null}>
<figcaption><h3>${title}</h3>${note === undefined ? null : markup`<p>${note}</p>`}</figcaption>
${chart}
${details('Values as a table', parts.table)}
</figure>
`;
}

/** A number as people read it: four significant digits, thousands apart. */
export function shownNumber(value: number | null | undefined): string {
  if (value === null || value === undefined || Number.isNaN(value)) return 'n/a';
  if (!Number.isFinite(value)) return value > 0 ? '\u221E' : '\u2212\u221E';
  const size = Math.abs(value);
  if (size !== 0 && (size < 1e-3 || size >= 1e12)) return value.toExponential(3);
  if (Number.isInteger(value) || size >= 1000)
    return String(Math.round(value)).replaceAll(/\B(?=(?:\d{3})+$)/g, ',');
  return String(Number(value.toPrecision(4)));
}

/** A share, as metrics of classes are written. */
export function threeDigits(value: number): string {
  return value.toFixed(3);
}

export function percent(share: number): string {
  return Number.isNaN(share) ? 'n/a' : `${(100 * share).toFixed(1)} %`;
}
