/** HTML that is not escaped again. */
export class Markup {
  constructor(readonly text: string) {}
}

type Content = Markup | string | number | undefined | Content[];

/** Makes HTML from a template. Escapes all values except markup. */
export function html(strings: TemplateStringsArray, ...values: Content[]): Markup {
  return new Markup(String.raw({ raw: strings }, ...values.map(escaped)));
}

function escaped(value: Content): string {
  if (value instanceof Markup) return value.text;
  if (Array.isArray(value)) return value.map(escaped).join("");
  return String(value ?? "").replace(/[&<>"']/g, (character) => `&#${character.charCodeAt(0)};`);
}

export interface Table {
  caption: string;
  columns: string[];
  /** The first cell of a row is its heading. */
  rows: (string | number)[][];
}

/** A picture, with everything that makes it accessible to people who cannot see it. */
export interface Picture {
  title: string;
  /** Description of the picture, computed from its data. */
  summary: string;
  legend?: { color: string; label: string }[];
  svg: Markup;
  numbers: Table;
}

export function figure(picture: Picture, id: string): Markup {
  return html`<figure id="${id}">
<figcaption><h2 id="${id}-title">${picture.title}</h2><p>${picture.summary}</p></figcaption>
${picture.legend && html`<ul class="legend">${picture.legend.map(({ color, label }) => html`<li><span style="background:${color}"></span>${label}</li>`)}</ul>`}
<div role="img" aria-labelledby="${id}-title">${picture.svg}</div>
<details id="${id}-numbers"><summary>Numbers<span class="hidden"> of “${picture.title}”</span></summary>${table(picture.numbers)}</details>
</figure>
`;
}

/** Lets a setting's name break only between its options, not within one such as `rank 8`. */
function unbroken(head: string | number | undefined): Markup {
  const parts = String(head ?? "").split(/(?<=,) /);
  return html`${parts.map((part, i) => html`${i > 0 ? " " : ""}<span>${part}</span>`)}`;
}

/** A table that scrolls sideways if it is wider than the page. `tabindex` lets the keyboard scroll it. */
export function table({ caption, columns, rows }: Table): Markup {
  return html`<div class="scroll" role="region" aria-label="${caption}" tabindex="0"><table><caption>${caption}</caption>
<thead><tr>${columns.map((column) => html`<th scope="col">${column}</th>`)}</tr></thead>
<tbody>${rows.map(([head, ...cells]) => html`<tr><th scope="row">${unbroken(head)}</th>${cells.map((cell) => html`<td>${cell}</td>`)}</tr>\n`)}</tbody></table></div>`;
}

/**
 * A complete page without external resources. A saved page has no script, and its policy forbids scripts. A live page may load its script
 * (`script` is the address) and connect to its server.
 */
export function page(title: string, content: Markup, script?: string): string {
  const policy = `default-src 'none'; style-src 'unsafe-inline'; img-src data:${script ? "; script-src 'self'; connect-src 'self'" : ""}`;
  return html`<!doctype html>
<html lang="en">
<head>
<meta charset="utf-8">
<meta http-equiv="Content-Security-Policy" content="${policy}">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta name="color-scheme" content="light dark">
<link rel="icon" href="data:,">
<title>${title}</title>
<style>${new Markup(style)}</style>
${script && html`<script src="${script}" defer></script>`}
</head>
<body>
${script && html`<p id="live" role="status">Watching the run</p>`}
<main>${content}</main>
</body>
</html>
`.text;
}

// Colours: Okabe and Ito's for series, one hue from pale to deep for the heat map, magma for the order of blocks.
// Dark colours are for screens only, so that print is always dark on white.
export const style = `
:root { color-scheme: light; --page: #fff; --ink: #1b1f24; --muted: #57606a; --rule: #d0d7de;
  --series-0: #0072b2; --series-1: #d55e00; --series-2: #00805d; --series-3: #b25a8b;
  --heat-0: #d8e8f8; --heat-1: #b3d2f0; --heat-2: #84b6e2; --heat-3: #4f93cd; --heat-4: #2368aa; --heat-5: #0c3d73;
  --heat-ink-0: #111; --heat-ink-1: #111; --heat-ink-2: #111; --heat-ink-3: #111; --heat-ink-4: #fff; --heat-ink-5: #fff;
  --never: #f3d9b8; --never-ink: #111;
  --order-0: #f1605d; --order-1: #b63679; --order-2: #721f81; --order-3: #2c115f; }
@media screen and (prefers-color-scheme: dark) { :root { color-scheme: dark; --page: #14171c; --ink: #e6e9ed; --muted: #a3acb7; --rule: #3a424c;
  --series-0: #56b4e9; --series-1: #e69f00; --series-2: #2bc79a; --series-3: #e08fbe;
  --heat-0: #1f3a56; --heat-1: #25557f; --heat-2: #2f76ab; --heat-3: #4c9bd0; --heat-4: #86c2ea; --heat-5: #cfe8fb;
  --heat-ink-0: #fff; --heat-ink-1: #fff; --heat-ink-2: #fff; --heat-ink-3: #111; --heat-ink-4: #111; --heat-ink-5: #111;
  --never: #6b4a1e; --never-ink: #fff;
  --order-0: #c8437f; --order-1: #f1605d; --order-2: #feb078; --order-3: #fcfdbf; } }
* { box-sizing: border-box; }
body { margin: 0 auto; padding: 1rem; max-width: 68rem; background: var(--page); color: var(--ink); font: 1rem/1.5 system-ui, sans-serif; }
h1 { font-size: 1.5rem; line-height: 1.25; margin: .5rem 0; overflow-wrap: anywhere; }
h2 { font-size: 1.1rem; margin: 0; overflow-wrap: anywhere; }
p { margin: .25rem 0 .5rem; }
figcaption p, caption, summary, .legend { color: var(--muted); font-size: .9rem; }
.pictures { display: grid; grid-template-columns: repeat(auto-fill, minmax(min(100%, 27rem), 1fr)); gap: 2rem 2.5rem; margin: 1.5rem 0; }
figure { margin: 0; min-width: 0; max-width: 34rem; break-inside: avoid; }
figure svg { width: 100%; height: auto; --plot-background: var(--page); }
.legend { display: flex; flex-wrap: wrap; gap: .1rem 1rem; margin: .25rem 0; padding: 0; list-style: none; }
.legend span { display: inline-block; width: .9em; height: .9em; margin-right: .4em; vertical-align: -.1em; border: 1px solid var(--rule); }
.scroll { overflow: auto; max-height: 28rem; }
.scroll:focus-visible { outline: 2px solid var(--series-0); }
table { border-collapse: collapse; font-size: .9rem; font-variant-numeric: tabular-nums; }
caption { text-align: left; padding: .25rem 0; }
th, td { padding: .2rem 1rem .2rem 0; border-bottom: 1px solid var(--rule); text-align: left; vertical-align: top; white-space: nowrap; }
tbody th, td:last-child { white-space: normal; overflow-wrap: anywhere; min-width: 8rem; }
tbody th { overflow-wrap: break-word; }
tbody th span:not(:only-child) { white-space: nowrap; }
th { font-weight: 600; }
thead th { position: sticky; top: 0; background: var(--page); }
.facts .scroll { max-height: none; }
.answers tbody :is(th, td), .answers tbody th span:not(:only-child) { white-space: normal; overflow-wrap: anywhere; font-weight: normal; min-width: 5rem; }
.answers tbody th { max-width: 30rem; }
:is(.facts, .answers) caption { color: inherit; font-size: 1.1rem; font-weight: bold; padding-top: 1rem; }
summary { cursor: pointer; }
#live { position: sticky; top: 0; z-index: 1; margin: 0; padding: .25rem 0; background: var(--page); border-bottom: 1px solid var(--rule); font-size: .9rem; }
.hidden { position: absolute; width: 1px; height: 1px; overflow: hidden; clip-path: inset(50%); }
@media print { body { max-width: none; padding: 0; font-size: 10pt; } .pictures { grid-template-columns: 1fr 1fr; } #live { display: none; }
  details:not([open]) { display: none; } .scroll { max-height: none; overflow: visible; } table { font-size: 8pt; } caption, thead { break-after: avoid; } th, td { white-space: normal; padding-right: .5rem; } * { print-color-adjust: exact; -webkit-print-color-adjust: exact; } }
`;
