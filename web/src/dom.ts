/** The element with an id. @param type what it must be */
export function byId<Of extends HTMLElement>(id: string, type: abstract new () => Of): Of {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`the page has no ${type.name} #${id}`);
}

/** An element of texts and elements: texts never become markup. */
export function element<Name extends keyof HTMLElementTagNameMap>(
  name: Name,
  content: string | readonly (string | Node)[] = [],
  attributes: Readonly<Record<string, string>> = {},
): HTMLElementTagNameMap[Name] {
  const made = document.createElement(name);
  for (const [attribute, value] of Object.entries(attributes)) made.setAttribute(attribute, value);
  made.append(...(typeof content === "string" ? [content] : content));
  return made;
}

/** A table that scrolls sideways by itself, as those of reports do. The first cell of a row is its heading. */
export function tableOf(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly string[])[],
): HTMLElement {
  const table = element("table", [
    element("caption", caption),
    element("thead", [
      element(
        "tr",
        columns.map((column) => element("th", column, { scope: "col" })),
      ),
    ]),
    element(
      "tbody",
      rows.map(([head = "", ...cells]) =>
        element("tr", [element("th", head, { scope: "row" }), ...cells.map((cell) => element("td", cell))]),
      ),
    ),
  ]);
  return element("div", [table], { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" });
}

/** Fills a select anew. @param options value → what is shown */
export function fillSelect(select: HTMLSelectElement, options: Readonly<Record<string, string>>, chosen: string): void {
  select.replaceChildren(...Object.entries(options).map(([value, shown]) => element("option", shown, { value })));
  select.value = chosen;
}

/** Hands a file to the person. */
export function download(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = element("a", name, { href: address, download: name });
  link.click();
  // The browser has opened it by then.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
