/** The style of the monitoring page: one column on a telephone, as many as fit on a wide screen, light and dark. */
const LIGHT = `
  color-scheme: light;
  --page: #f6f6f4; --card: #ffffff; --ink: #16181c; --soft: #565b64; --edge: #dcdcd7;
  --s0: #1f6fd0; --s1: #c2410c; --s2: #0f7a5c; --good: #146c43; --bad: #b3261e;`;
const DARK = `
  color-scheme: dark;
  --page: #111315; --card: #1a1d21; --ink: #eceef1; --soft: #a5abb5; --edge: #31363d;
  --s0: #62a8ff; --s1: #ff9d5c; --s2: #4fd1a5; --good: #5fd39b; --bad: #ff8a80;`;

export const STYLE = `
:root {${LIGHT}
}
@media (prefers-color-scheme: dark) {
  :root {${DARK}
  }
}
:root[data-theme="light"] {${LIGHT}
}
:root[data-theme="dark"] {${DARK}
}
* { box-sizing: border-box; }
body { margin: 0; background: var(--page); color: var(--ink); font: 15px/1.45 system-ui, sans-serif; }
header, main { max-width: 1760px; margin: 0 auto; padding: 12px 16px; }
header { display: flex; flex-wrap: wrap; gap: 4px 16px; align-items: baseline; }
h1 { font-size: 1.25rem; margin: 0; }
h2 { font-size: 1rem; margin: 0 0 8px; }
#about { color: var(--soft); flex: 1 1 16rem; }
#state { font-weight: 600; }
.good { color: var(--good); }
.bad { color: var(--bad); }
.controls { display: flex; flex-wrap: wrap; gap: 8px; align-items: center; }
button, select { font: inherit; color: inherit; background: var(--card); border: 1px solid var(--edge); border-radius: 6px; padding: 3px 9px; min-height: 32px; }
button[aria-pressed="true"] { background: var(--s0); color: var(--page); }
:focus-visible { outline: 3px solid var(--s0); outline-offset: 2px; }
#banner { margin: 0 auto; max-width: 1728px; padding: 8px 16px; border: 1px solid var(--bad); border-radius: 6px; color: var(--bad); }
#tiles { display: grid; grid-template-columns: repeat(2, minmax(0, 1fr)); gap: 10px; margin: 0 0 10px; }
@media (min-width: 640px) { #tiles { grid-template-columns: repeat(4, minmax(0, 1fr)); } }
@media (min-width: 1000px) { #tiles { grid-template-columns: repeat(6, minmax(0, 1fr)); } }
.tile, .card { background: var(--card); border: 1px solid var(--edge); border-radius: 8px; padding: 10px 12px; min-width: 0; }
dt { color: var(--soft); font-size: 0.85rem; }
dd { margin: 0; font-size: 1.05rem; font-weight: 600; font-variant-numeric: tabular-nums; }
.grid-of-cards { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 350px), 1fr)); gap: 10px; margin: 0 0 10px; }
.wide { grid-template-columns: repeat(auto-fill, minmax(min(100%, 480px), 1fr)); align-items: start; }
figure { margin: 0; }
figcaption { font-weight: 600; }
svg { display: block; width: 100%; height: 150px; touch-action: pan-y; border-radius: 4px; }
.legend { margin: 2px 0 4px; min-height: 2.9em; color: var(--soft); font-size: 0.85rem; font-variant-numeric: tabular-nums; }
.legend b { color: var(--ink); }
.entry { margin-right: 12px; white-space: nowrap; }
.swatch { display: inline-block; width: 14px; height: 0; margin: 0 5px 3px 0; border-top: 3px solid; }
.swatch.s1 { border-top-style: dashed; }
.swatch.s2 { border-top-style: dotted; }
.s0 { color: var(--s0); } .s1 { color: var(--s1); } .s2 { color: var(--s2); }
.line { fill: none; stroke: currentColor; stroke-width: 2; stroke-linejoin: round; }
.line.s1 { stroke-dasharray: 6 3; }
.line.s2 { stroke-dasharray: 2 3; }
.dot { fill: currentColor; stroke: var(--card); stroke-width: 2; }
.grid { stroke: var(--edge); }
.cross { stroke: var(--soft); stroke-dasharray: 3 3; }
.axis { fill: var(--soft); font-size: 11px; }
.level { display: grid; grid-template-columns: minmax(0, 1fr) minmax(0, 1fr); gap: 0 10px; align-items: center; padding: 3px 0; font-variant-numeric: tabular-nums; }
.level[hidden] { display: none; }
.level .value { grid-column: 1 / -1; color: var(--soft); font-size: 0.85rem; }
meter { width: 100%; height: 14px; }
.scroll { overflow-x: auto; max-height: 420px; overflow-y: auto; }
table { border-collapse: collapse; width: 100%; font-variant-numeric: tabular-nums; }
th, td { text-align: right; padding: 2px 6px; white-space: nowrap; border-bottom: 1px solid var(--edge); }
th:first-child { text-align: left; }
tbody th { font-weight: 500; }
thead th { position: sticky; top: 0; background: var(--card); }
thead button { border: 0; background: none; padding: 2px 0; font-size: 0.85rem; color: var(--soft); }
th[aria-sort] button { color: var(--ink); font-weight: 700; }
th[aria-sort="ascending"] button::after { content: " \\2191"; }
th[aria-sort="descending"] button::after { content: " \\2193"; }
.empty { color: var(--soft); margin: 6px 0 0; }
`;
