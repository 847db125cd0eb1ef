import * as Plot from "@observablehq/plot";
import { parseHTML } from "linkedom";
import { Markup } from "./page.ts";

const { document } = parseHTML("<!doctype html><html></html>");

/** Width of every picture in its own units. The page scales it to a phone's column or to half a desktop's. */
export const width = 440;

/** Draws a plot as SVG that scales with its container. */
export function draw(options: Plot.PlotOptions): Markup {
  const svg = Plot.plot({ document, width, marginLeft: 60, marginBottom: 42, style: { fontSize: "12px" }, ...options });
  svg.removeAttribute("width");
  svg.removeAttribute("height");
  return new Markup(svg.outerHTML);
}

/** Shortens long labels of an axis. The table beside the picture has them in full. */
export function shortened(label: string): string {
  return label.length > 24 ? `${label.slice(0, 23)}…` : label;
}

/** Space for these labels to the left of a picture, in its units. */
export function labelRoom(labels: string[]): number {
  return 16 + 6.8 * labels.reduce((longest, label) => Math.max(longest, shortened(label).length), 0);
}

/** Cuts values into at most `most` runs of equal length (the last may be shorter), so that long runs stay readable. */
export function bins<T>(values: T[], most: number): T[][] {
  const size = Math.ceil(values.length / most) || 1;
  return Array.from({ length: Math.ceil(values.length / size) }, (_, i) => values.slice(i * size, (i + 1) * size));
}
