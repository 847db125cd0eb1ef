import { copyFileSync, cpSync, mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { dirname, join, posix } from "node:path";
import { fileURLToPath } from "node:url";

const root = (path: string): string => fileURLToPath(new URL(`../${path}`, import.meta.url));
/** Where VitePress reads pages from: those of docs/, and what they link to beside it. */
export const PAGES = root("site/pages");
export const OUTPUT = root("site/dist");
/** Pages that stand beside docs/ in the repository. */
const BESIDE = ["CHANGELOG.md", "CONTRIBUTING.md"];

export interface Section {
  title: string;
  pages: { title: string; file: string }[];
}

/** The four sections of docs/index.md, with their pages. */
export function sections(): Section[] {
  const [, ...parts] = readFileSync(root("docs/index.md"), "utf8").split(/^## /m);
  return parts.map((part) => ({
    title: part.slice(0, part.indexOf("\n")),
    pages: [...part.matchAll(/\[([^\]]+)\]\((?:\.\.\/)?([^)]+\.md)\)/g)].map(([, title, file]) => ({
      title: title!,
      file: file!,
    })),
  }));
}

/**
 * Lays out what VitePress builds: the same Markdown files, with links and pictures as a site has them.
 * @param repository address of the sources, which links to files outside of the docs lead to; without it they are plain text
 */
export function layOutPages(repository?: string): void {
  rmSync(PAGES, { recursive: true, force: true });
  mkdirSync(join(PAGES, "public"), { recursive: true });
  const docs = readdirSync(root("docs"), { recursive: true, encoding: "utf8" }).map((name) => `docs/${name}`);
  for (const file of ["site/home.md", "site/playground.md"]) {
    const text = withThemedPictures(readFileSync(root(file), "utf8"));
    writeFileSync(join(PAGES, file === "site/home.md" ? "index.md" : "playground.md"), text);
  }
  for (const file of [...BESIDE, ...docs.filter((name) => name.endsWith(".md"))]) {
    const page = join(PAGES, onSite(file)!);
    mkdirSync(dirname(page), { recursive: true });
    writeFileSync(page, forSite(readFileSync(root(file), "utf8"), file));
  }
  copyFileSync(root("site/playground-worker.js"), join(PAGES, "public/playground-worker.js"));
  for (const folder of ["docs/pictures", "docs/results/pictures"])
    cpSync(root(folder), join(PAGES, "public/pictures"), { recursive: true });

  function forSite(markdown: string, page: string): string {
    const links = markdown.replace(/\[([^\]]+)\]\((?!https?:|#)([^)#]+)(#[^)]*)?\)/g, (_, text, link, anchor = "") => {
      const file = posix.join(posix.dirname(page), link);
      const target = onSite(file);
      if (target !== undefined) return `[${text}](${posix.relative(posix.dirname(onSite(page)!), target)}${anchor})`;
      return repository === undefined ? text : `[${text}](${repository}/blob/main/${file})`;
    });
    return withThemedPictures(links);
  }
}

/** Where the site has a file of the repository, or undefined if it has not. */
function onSite(file: string): string | undefined {
  if (BESIDE.includes(file)) return file;
  if (file === "docs/index.md") return "contents.md";
  return file.startsWith("docs/") && file.endsWith(".md") ? file.slice("docs/".length) : undefined;
}

/** A reader may choose light or dark whatever the system has: both pictures are there, and the style sheet shows one. */
const withThemedPictures = (markdown: string): string =>
  markdown.replace(
    /<picture>\s*<source[^>]* srcset="([^"]+)">\s*<img alt="([^"]+)" src="([^"]+)">\s*<\/picture>/g,
    (_, dark, alt, light) =>
      `<img class="in-light" alt="${alt}" src="/${light}" loading="lazy">\n<img class="in-dark" alt="${alt}" src="/${dark}" loading="lazy">`,
  );

/** `llms.txt` and `llms-full.txt`: what programs read, an outline with links and all pages in one; `skill.md`, for coding agents. */
export function writeForPrograms(address: string): void {
  const summary =
    "# aflora\n\n> Fine-tune transformer models from TypeScript, on your own machine, with Node and no Python.\n";
  const pages = sections();
  const outline = pages.map(({ title, pages: listed }) => {
    const lines = listed.map((page) => `- [${page.title}](${address}${page.file})`);
    return `## ${title}\n\n${lines.join("\n")}\n`;
  });
  writeFileSync(join(OUTPUT, "llms.txt"), [summary, ...outline].join("\n"));
  copyFileSync(root("site/skill.md"), join(OUTPUT, "skill.md"));
  const texts = pages.flatMap(({ pages: listed }) => listed.map(({ file }) => readFileSync(join(PAGES, file), "utf8")));
  const withoutComments = texts.map((text) => text.replace(/<!--[\s\S]*?-->\n?/g, "").trim());
  writeFileSync(join(OUTPUT, "llms-full.txt"), `${[summary.trim(), ...withoutComments].join("\n\n")}\n`);
  for (const { pages: listed } of pages) {
    for (const { file } of listed) copyFileSync(join(PAGES, file), join(OUTPUT, file));
  }
}
