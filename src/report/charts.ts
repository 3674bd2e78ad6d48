// Charts as SVG, drawn by ECharts without a browser. Colours are CSS variables of the page, so that dark mode and print have theirs.
// The library is loaded when the first chart is drawn: its one minified file takes a tenth of the time of its modules.
import { createRequire } from 'node:module';
import type { EChartsOption, SeriesOption } from 'echarts';
import { markup, shortened, trusted, type Html } from './html.js';

type ECharts = typeof import('echarts');

let loaded: ECharts | undefined;

function library(): ECharts {
  // Typed by the package's own types, which have no file for this build.
  loaded ??= createRequire(import.meta.url)('echarts/dist/echarts.min.js') as ECharts; // oxlint-disable-line typescript/no-unsafe-type-assertion
  return loaded;
}

/** Small enough that its text can be read on a phone. */
const SIZE = { width: 460, height: 260 };
const GRID = { left: 4, right: 22, top: 28, bottom: 22, containLabel: true };
const WIDE = { width: 960, height: 340 };
/** How many colours the page has. */
const COLOURS = 8;

/** The CSS variable of a series. */
export function colour(index: number): string {
  return `var(--c${index % COLOURS})`;
}

const INK = 'var(--ink)';
const MUTED = 'var(--muted)';
const LINE = 'var(--line)';
const FONT = { fontFamily: 'system-ui, sans-serif', fontSize: 13 };

export type Point = readonly [x: number, y: number];

/** One line, or a cloud of points, of a chart. */
export interface Series {
  readonly name: string;
  readonly points: readonly Point[];
  /** Of the page's colours. */
  readonly colour: number;
  readonly style?: 'line' | 'faint' | 'dashed' | 'dots' | 'steps';
  /** Diameters of dots. */
  readonly sizes?: readonly number[];
  /** Points that are marked, with a word. */
  readonly marks?: readonly { readonly at: Point; readonly text: string }[];
}

/** A place on the x axis with a line through the chart. */
export interface Rule {
  readonly at: number;
  readonly text: string;
}

export interface Axes {
  readonly x: string;
  readonly y: string;
  readonly xRange?: readonly [number, number];
  readonly yRange?: readonly [number, number];
  /** Whether y does not begin at 0 where all values lie far from it. */
  readonly isCut?: boolean;
}

/** Lines and points over numbers. @param label what a screen reader reads */
export function xyChart(
  label: string,
  axes: Axes,
  series: readonly Series[],
  rules: readonly Rule[] = [],
): Html {
  const drawn = draw(label, SIZE, {
    grid: GRID,
    xAxis: valueAxis(axes.x, axes.xRange),
    yAxis: { ...upwards(valueAxis(axes.y, axes.yRange)), scale: axes.isCut ?? false },
    series: series.map((one, i) => seriesOf(one, i === 0 ? rules : [])),
  });
  return markup`${legend(series)}${drawn}`;
}

/** A bar for each range or name. @param marked the bars in another colour, and what they are */
export function barChart(
  label: string,
  axes: Pick<Axes, 'x' | 'y'>,
  bars: readonly { readonly name: string; readonly value: number; readonly isMarked?: boolean }[],
  marked?: { plain: string; marked: string },
): Html {
  const of = (isMarked: boolean): (number | null)[] =>
    bars.map((bar) => ((bar.isMarked ?? false) === isMarked ? bar.value : null));
  const drawn = draw(label, SIZE, {
    grid: GRID,
    xAxis: { type: 'category', data: bars.map(({ name }) => name), ...axisStyle(axes.x) },
    yAxis: upwards(valueAxis(axes.y)),
    series: [barsOf(0, of(false)), ...(marked === undefined ? [] : [barsOf(1, of(true))])],
  });
  const names = marked === undefined ? [] : [marked.plain, marked.marked];
  return markup`${legend(names.map((name, i) => ({ name, colour: i })))}${drawn}`;
}

function barsOf(index: number, data: (number | null)[]): SeriesOption {
  return {
    type: 'bar',
    stack: 'all',
    barCategoryGap: '8%',
    barMaxWidth: 72,
    itemStyle: { color: colour(index) },
    data,
  };
}

/** An axis of parallel coordinates: numbers, or names in their order. */
export interface ParallelAxis {
  readonly name: string;
  readonly values: readonly string[] | null;
  readonly isLog?: boolean;
}

/** A line for each row across all axes; the strong ones are drawn last. */
export function parallelChart(
  label: string,
  axes: readonly ParallelAxis[],
  rows: readonly { readonly values: readonly (number | string)[]; readonly isStrong: boolean }[],
): Html {
  const series = (isStrong: boolean): SeriesOption => ({
    type: 'parallel',
    data: rows.filter((row) => row.isStrong === isStrong).map(({ values }) => values.slice()),
    lineStyle: isStrong
      ? { color: colour(1), width: 3, opacity: 1 }
      : { color: colour(0), width: 1.3, opacity: 0.45 },
  });
  return draw(label, WIDE, {
    parallel: { left: 60, right: 90, top: 40, bottom: 24 },
    parallelAxis: axes.map(({ name, values, isLog = false }, dim) => ({
      dim,
      name: shortened(name, 24),
      nameTextStyle: { ...FONT, color: INK },
      ...(values === null
        ? { type: isLog ? 'log' : 'value', scale: true }
        : { type: 'category', data: [...values] }),
      axisLine: { lineStyle: { color: MUTED } },
      axisTick: { lineStyle: { color: MUTED } },
      axisLabel: { ...FONT, color: MUTED, formatter: tick },
    })),
    series: [series(false), series(true)],
  });
}

function seriesOf(
  { points, colour: index, style = 'line', marks = [], sizes }: Series,
  rules: readonly Rule[],
): SeriesOption {
  const color = colour(index);
  const marking = {
    ...(rules.length > 0 && {
      markLine: {
        silent: true,
        symbol: 'none',
        lineStyle: { color: MUTED, type: 'dashed', width: 1 },
        label: { ...FONT, fontSize: 12, color: MUTED, position: 'insideEndTop' },
        data: rules.map(({ at, text }) => ({ xAxis: at, label: { formatter: literally(text) } })),
      },
    }),
    ...(marks.length > 0 && {
      markPoint: {
        symbol: 'circle',
        symbolSize: 11,
        itemStyle: { color: 'var(--paper)', borderColor: color, borderWidth: 3 },
        label: { ...FONT, color: INK, position: 'top' },
        data: marks.map(({ at: [x, y], text }) => ({
          name: text,
          coord: [x, y],
          label: { formatter: literally(text) },
        })),
      },
    }),
  } satisfies Pick<SeriesOption & { type: 'line' }, 'markLine' | 'markPoint'>;
  const data = points.map(([x, y]): [number, number | string] => [x, Number.isFinite(y) ? y : '-']);
  if (style === 'dots')
    return {
      type: 'scatter',
      data: sizes === undefined ? data : data.map((value, i) => ({ value, symbolSize: sizes[i] ?? 5 })),
      symbolSize: 5,
      itemStyle: { color, opacity: sizes === undefined ? 0.5 : 0.8 },
      ...marking,
    };
  return {
    type: 'line',
    data,
    sampling: 'lttb',
    // A single evaluation is no line, but should be seen.
    symbol: style === 'line' && points.length <= 20 ? 'circle' : 'none',
    symbolSize: points.length <= 3 ? 8 : 5,
    showAllSymbol: true,
    ...(style === 'steps' && { step: 'end' }),
    itemStyle: { color },
    lineStyle: {
      color,
      width: style === 'faint' ? 1 : 2,
      opacity: style === 'faint' ? 0.45 : 1,
      type: style === 'dashed' ? 'dashed' : 'solid',
    },
    ...marking,
  };
}

/** A name that ECharts does not take for a template such as {b}. */
function literally(text: string): () => string {
  return () => text;
}

/** In HTML, where it wraps and has the size of other text. */
function legend(series: readonly Pick<Series, 'name' | 'colour' | 'style'>[]): Html | null {
  const shown = series.filter(({ style }) => style !== 'faint');
  if (shown.length < 2) return null;
  const items = shown.map(({ name, colour: index, style = 'line' }) => {
    const line = style === 'dashed' ? 'dashed' : 'solid';
    return markup`<li><i style="border-top: 3px ${line} ${colour(index)}"></i>${shortened(name, 40)}</li>`;
  });
  return markup`<ul class="legend">
    ${items}
  </ul>`;
}

/** The name of a y axis stands above it. */
function upwards<T extends object>(
  axis: T,
): T & { nameGap: number; nameLocation: 'end'; nameTextStyle: object } {
  const nameTextStyle = { ...FONT, color: MUTED, align: 'left', padding: [0, 0, 0, -24] };
  return { ...axis, nameGap: 10, nameLocation: 'end', nameTextStyle };
}

function valueAxis(
  name: string,
  range?: readonly [number, number],
): ReturnType<typeof axisStyle> & { type: 'value'; min?: number; max?: number } {
  return {
    type: 'value',
    ...axisStyle(name),
    ...(range !== undefined && { min: range[0], max: range[1] }),
  };
}

function axisStyle(name: string): {
  name: string;
  nameLocation: 'middle' | 'end';
  nameGap: number;
  nameTextStyle: object;
  axisLine: object;
  axisTick: object;
  splitLine: object;
  axisLabel: object;
} {
  return {
    name,
    nameLocation: 'middle',
    nameGap: 28,
    nameTextStyle: { ...FONT, color: MUTED },
    axisLine: { onZero: false, lineStyle: { color: LINE } },
    axisTick: { show: false },
    splitLine: { lineStyle: { color: LINE } },
    axisLabel: { ...FONT, color: MUTED, hideOverlap: true, formatter: tick },
  };
}

/** A number of an axis: short, whatever its size. */
function tick(value: number | string): string {
  if (typeof value === 'string') return shortened(value, 14);
  const size = Math.abs(value);
  if (size === 0) return '0';
  if (size < 1e-3) return Number(value.toPrecision(3)).toExponential().replace('e-', 'e\u2212');
  if (size >= 1e6) return `${Number((value / 1e6).toPrecision(4))}M`;
  if (size >= 1e4) return `${Number((value / 1e3).toPrecision(4))}k`;
  return String(Number(value.toPrecision(4)));
}

function draw(label: string, size: { width: number; height: number }, option: EChartsOption): Html {
  const chart = library().init(null, null, { renderer: 'svg', ssr: true, ...size });
  try {
    chart.setOption({ animation: false, backgroundColor: 'transparent', textStyle: FONT, ...option });
    return trusted(inPage(chart.renderToSVGString(), label));
  } finally {
    chart.dispose(); // an instance that lives on keeps the process from ending
  }
}

/** The picture without what is for a mouse, as wide as the page has room, with its name. */
function inPage(svg: string, label: string): string {
  const name = label.replaceAll(/[&<>"]/g, '');
  return svg
    .replace(/<style[^>]*>[^]*?<\/style>/, '')
    .replaceAll(
      / (?:class="zr[\w-]*"|ecmeta_\w+="[^"]*"|pointer-events="visible"|xmlns:xlink="[^"]*"|baseProfile="full")/g,
      '',
    )
    .replace(/<svg width="\d+" height="\d+"/, `<svg role="img" aria-label="${name}"`);
}
