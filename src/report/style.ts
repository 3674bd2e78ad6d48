// How the page looks. Colours of series keep a contrast of 3:1 and more in both modes, and differ for most colour-blind people
// (after Okabe and Ito, 2008).
import { trusted } from './html.js';

export const STYLE = trusted(`
:root { color-scheme: light dark;
  --paper: #ffffff; --panel: #f6f7f9; --ink: #16181d; --muted: #5d6472; --line: #dfe2e8; --accent: #0b63a8;
  --right: #1b8a6b; --wrong: #c2552b;
  --c0: #0b6fb8; --c1: #c2552b; --c2: #14805f; --c3: #8a6d00; --c4: #a2478c; --c5: #2b8fb0; --c6: #6b57c8; --c7: #6b7280; }
@media (prefers-color-scheme: dark) { :root {
  --paper: #14161a; --panel: #1d2026; --ink: #e8eaee; --muted: #a1a8b5; --line: #343943; --accent: #6cb4ee;
  --right: #3fbf98; --wrong: #f08a5d;
  --c0: #5aaeea; --c1: #f08a5d; --c2: #3fbf98; --c3: #e0bd3f; --c4: #dd8ac8; --c5: #6fd0ee; --c6: #a99bf5; --c7: #9aa1ad; } }
* { box-sizing: border-box; }
html { -webkit-text-size-adjust: 100%; scroll-behavior: smooth; }
body { margin: 0 auto; padding: 0 clamp(14px, 4vw, 40px) 64px; max-width: 1200px; background: var(--paper); color: var(--ink);
  font: 16px/1.5 system-ui, -apple-system, "Segoe UI", Roboto, sans-serif; overflow-wrap: anywhere; }
header { padding-top: 32px; }
.brand { margin: 0; color: var(--muted); font-size: 14px; letter-spacing: .04em; }
h1 { margin: 2px 0 4px; font-size: clamp(26px, 5vw, 36px); line-height: 1.2; }
h2 { margin: 0 0 16px; font-size: 22px; line-height: 1.3; }
h3 { margin: 0; font-size: 16px; }
section { margin-top: 44px; padding-top: 20px; border-top: 1px solid var(--line); }
section > h3 { margin: 24px 0 8px; }
.lead, .muted, figcaption p, caption, summary { color: var(--muted); }
.lead { margin: 0 0 4px; }
a { color: var(--accent); }
nav ul { display: flex; flex-wrap: wrap; gap: 4px 18px; margin: 18px 0 0; padding: 0; list-style: none; }
.tiles { display: grid; grid-template-columns: repeat(auto-fill, minmax(124px, 1fr)); gap: 10px; margin: 20px 0 12px; }
.tiles div { padding: 10px 14px; background: var(--panel); border-radius: 10px; }
.tiles dt { color: var(--muted); font-size: 13px; }
.tiles dd { margin: 0; font-size: 23px; white-space: nowrap; font-weight: 600; font-variant-numeric: tabular-nums; }
.charts { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 20px; }
.columns { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 380px), 1fr)); gap: 28px; align-items: start; }
.columns h3 { margin-bottom: 8px; }
figure { margin: 0; padding: 16px; min-width: 0; background: var(--panel); border-radius: 12px; display: flex; flex-direction: column; gap: 8px; }
figure.wide { grid-column: 1 / -1; }
figcaption p { margin: 2px 0 0; font-size: 14px; }
svg { display: block; width: 100%; height: auto; margin-top: auto; overflow: visible; }
details { margin-top: 4px; }
summary { cursor: pointer; font-size: 14px; padding: 2px 0; }
.scroll { overflow-x: auto; }
details .scroll, #classes .scroll, #search > .scroll { max-height: 520px; overflow-y: auto; }
section > .scroll + .charts, section > .charts + .scroll, section > .note + .charts { margin-top: 20px; }
.legend { display: flex; flex-wrap: wrap; gap: 2px 16px; margin: 0; padding: 0; list-style: none; font-size: 14px; }
.legend i { display: inline-block; width: 20px; margin-right: 7px; vertical-align: middle; }
.scroll:focus-visible, summary:focus-visible, a:focus-visible { outline: 2px solid var(--accent); outline-offset: 2px; }
table { border-collapse: collapse; font-size: 14px; font-variant-numeric: tabular-nums; min-width: 50%; }
th, td { padding: 5px 12px 5px 0; border-bottom: 1px solid var(--line); text-align: left; vertical-align: top; font-weight: 400; }
thead th { color: var(--muted); font-size: 13px; white-space: nowrap; overflow-wrap: normal; }
th[scope=row] { min-width: 90px; }
.number { text-align: right; white-space: nowrap; }
code { font: 13px/1.5 ui-monospace, SFMono-Regular, Menlo, monospace; }
caption { text-align: left; font-size: 14px; padding-bottom: 8px; caption-side: top; }
.matrix td, .matrix thead th { text-align: center; padding: 8px 12px; white-space: nowrap; }
.matrix td { border: 1px solid var(--paper); }
.matrix small { display: block; color: var(--muted); font-size: 12px; }
.matrix .right { background: color-mix(in srgb, var(--right) calc(var(--share) * .5), var(--panel)); }
.matrix .wrong { background: color-mix(in srgb, var(--wrong) calc(var(--share) * .9 + 4%), var(--panel)); }
.matrix td small { color: inherit; opacity: .8; }
.matrix .none { color: var(--muted); background: var(--panel); }
.bar { display: inline-block; min-width: 96px; padding: 0 6px; border-radius: 4px;
  background: linear-gradient(90deg, color-mix(in srgb, var(--c0) 34%, transparent) var(--share), transparent var(--share)); }
.note { margin: 14px 0; padding: 10px 14px; border-left: 4px solid var(--c0); background: var(--panel); border-radius: 0 8px 8px 0; }
.note.warn { border-color: var(--wrong); }
.worst { display: grid; grid-template-columns: repeat(auto-fit, minmax(min(100%, 480px), 1fr)); gap: 14px; margin: 0; padding: 0; list-style: none; counter-reset: row; }
.worst > li { padding: 12px 16px; background: var(--panel); border-radius: 12px; min-width: 0; }
.worst p { margin: 0; }
blockquote { margin: 0 0 8px; white-space: pre-wrap; max-height: 12em; overflow: auto; }
.tag { padding: 1px 7px; border-radius: 99px; font-size: 12px; color: var(--paper); background: var(--right); }
.tag.wrong { margin-left: 8px; background: var(--wrong); }
.worst .muted { display: block; margin-top: 4px; font-size: 13px; }
.chips { display: flex; flex-wrap: wrap; gap: 6px; margin: 8px 0 0; padding: 0; list-style: none; font-size: 13px; }
.chips li { padding: 1px 9px; border: 1px solid var(--line); border-radius: 99px; }
.live { display: inline-block; margin-left: 10px; padding: 1px 9px; border-radius: 99px; background: var(--right); color: var(--paper); }
@media (max-width: 480px) { section { margin-top: 32px; } figure { padding: 12px 8px; } .matrix td, .matrix thead th { padding: 6px 8px; }
  .tiles { grid-template-columns: repeat(auto-fill, minmax(104px, 1fr)); gap: 8px; } .tiles div { padding: 8px 10px; } .tiles dd { font-size: 18px; } }
@media print { :root { --paper: #fff; --panel: #fff; --ink: #000; --muted: #444; --line: #bbb; --accent: #000;
  --right: #1b8a6b; --wrong: #c2552b;
  --c0: #0b6fb8; --c1: #c2552b; --c2: #14805f; --c3: #8a6d00; --c4: #a2478c; --c5: #2b8fb0; --c6: #6b57c8; --c7: #6b7280; }
  * { print-color-adjust: exact; -webkit-print-color-adjust: exact; }
  body { max-width: none; padding: 0; font-size: 12px; } nav, details:not([open]) { display: none; }
  .charts { grid-template-columns: 1fr 1fr; gap: 8px; } .worst { grid-template-columns: 1fr 1fr; }
  .scroll { overflow: visible; max-height: none; } blockquote { max-height: none; }
  figure, .worst > li, .tiles div, tr { break-inside: avoid; } figure, .worst > li, .tiles div { border: 1px solid var(--line); }
  section { margin-top: 20px; } h2, h3 { break-after: avoid; } }
`);
