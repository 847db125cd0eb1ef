import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { Markup } from "./page.ts";

const { document } = parseHTML("<!doctype html><html></html>");

/** Width of every picture in its own units: the page scales it to a phone's column or half a desktop's. */
export const width = 440;

/** Draws a plot to SVG that scales with its place and that screen readers take as one picture called `title`. */
export function draw(title: string, options: Plot.PlotOptions): Markup {
  const svg = Plot.plot({ document, width, marginLeft: 52, style: { fontSize: "12px" }, ...options });
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  svg.setAttribute("role", "img");
  svg.setAttribute("aria-label", title);
  return new Markup(svg.outerHTML);
}

/** Values cut into at most `most` runs of equal length (the last may be shorter), so that long runs stay readable. */
export function bins<T>(values: T[], most: number): T[][] {
  const size = Math.ceil(values.length / most) || 1;
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) => values.slice(i * size, (i + 1) * size));
}
