export function byId<Of extends HTMLElement>(id: string, type: abstract new () => Of): Of {
  const found = document.getElementById(id);
  if (found instanceof type) return found;
  throw new Error(`the page has no ${type.name} #${id}`);
}

/** Creates an element with texts and elements. Texts never become markup. */
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

/** Creates a table that scrolls sideways, as in reports. The first cell of a row is its heading. */
export function tableOf(
  caption: string,
  columns: readonly string[],
  rows: readonly (readonly (string | Node)[])[],
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
        element("tr", [element("th", [head], { scope: "row" }), ...cells.map((cell) => element("td", [cell]))]),
      ),
    ),
  ]);
  return element("div", [table], { class: "scroll", role: "region", "aria-label": caption, tabindex: "0" });
}

export function fillSelect(select: HTMLSelectElement, options: Readonly<Record<string, string>>, chosen: string): void {
  select.replaceChildren(...Object.entries(options).map(([value, shown]) => element("option", shown, { value })));
  select.value = chosen;
}

/** Accepts dropped files on a field. @param onDrop called within the event, if dropping is allowed */
export function acceptDrops(
  field: HTMLElement,
  input: HTMLInputElement,
  onDrop: (transfer: DataTransfer) => void,
): void {
  field.addEventListener("dragover", (event) => {
    event.preventDefault();
    field.classList.toggle("over", !input.disabled);
  });
  field.addEventListener("dragleave", () => field.classList.remove("over"));
  field.addEventListener("drop", (event) => {
    event.preventDefault();
    field.classList.remove("over");
    if (event.dataTransfer?.files[0] && !input.disabled) onDrop(event.dataTransfer);
  });
}

export async function thumbnail(name: string, file: Blob): Promise<HTMLCanvasElement | undefined> {
  const bitmap = await createImageBitmap(file, { resizeHeight: 160, resizeQuality: "medium" }).catch(() => undefined);
  if (!bitmap) return undefined;
  const canvas = element("canvas", [], { role: "img", "aria-label": name, class: "photo" });
  Object.assign(canvas, { width: bitmap.width, height: bitmap.height });
  canvas.getContext("bitmaprenderer")!.transferFromImageBitmap(bitmap);
  return canvas;
}

export function download(name: string, content: Blob): void {
  const address = URL.createObjectURL(content);
  const link = element("a", name, { href: address, download: name });
  link.click();
  // The browser has opened the address by then.
  setTimeout(() => URL.revokeObjectURL(address), 60_000);
}
