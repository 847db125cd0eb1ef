/** Pictures of a page by themselves, as files for light and for dark. */
export const THEMES = ["light", "dark"] as const;
export type Theme = (typeof THEMES)[number];

/** A page's colours by name, without dashes. */
export function colorsOf(page: string, theme: Theme): Map<string, string> {
  const [light, dark] = [...page.matchAll(/:root \{([^}]*)\}/g)].map(([, rules]) => rules!);
  const rules = theme === "light" ? light! : light! + dark!;
  return new Map([...rules.matchAll(/--([\w-]+): ([^;]+);/g)].map(([, name, value]) => [name!, value!]));
}

/** One of a page's SVG pictures, with a background and colours of its own. */
export function themedSvg(svg: string, colors: ReadonlyMap<string, string>): string {
  const [, width, height] = /viewBox="0 0 (\d+) (\d+)"/.exec(svg)!;
  const frame = `xmlns="http://www.w3.org/2000/svg" width="640" viewBox="0 0 ${width} ${height}"`;
  return `<svg ${frame} color="${colors.get("ink")}">
<rect width="${width}" height="${height}" fill="${colors.get("page")}"/>
${svg.replace(/var\(--([\w-]+)\)/g, (whole, name: string) => colors.get(name) ?? whole)}
</svg>
`;
}
