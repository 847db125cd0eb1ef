import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { anchorOf } from "../../site/anchors.ts";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The pages, from the root. */
export const PAGES: readonly string[] = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(join(ROOT, "docs"), { recursive: true, encoding: "utf8" }).flatMap((name) =>
    name.endsWith(".md") ? `docs/${name.replaceAll("\\", "/")}` : [],
  ),
];

/** A page's Markdown. */
export const textOf = (page: string): string => readFileSync(join(ROOT, page), "utf8");

/** Words that a reader sees, code and tables among them: comments, tags and addresses of links are left out. */
export function wordsOf(page: string): number {
  const seen = textOf(page).replace(/<!--[\s\S]*?-->|<[^>]+>|(?<=\])\([^)]*\)/g, " ");
  return seen.match(/[\p{L}\p{N}][^\s|]*/gu)?.length ?? 0;
}

const withoutCode = (page: string): string => textOf(page).replace(/^```[\s\S]*?^```/gm, "");

/** Links of a page to others of this repository: `[…](tasks.md#glue)`. */
export function linksOf(page: string): { link: string; file: string; anchor?: string }[] {
  return [...withoutCode(page).matchAll(/\]\((?!https?:)([^)#]*)(?:#([^)]*))?\)/g)].map(([link, file, anchor]) => ({
    link,
    file: file!,
    ...(anchor === undefined ? {} : { anchor }),
  }));
}

/** Anchors of a page's headings, as GitHub makes them. */
export function anchorsOf(page: string): string[] {
  const headings = withoutCode(page).matchAll(/^#+ (.*)$/gm);
  return [...headings].map(([, heading]) => anchorOf(heading!.replace(/\[([^\]]*)\]\([^)]*\)/g, "$1")));
}

/** A fenced block of a page, with what the comments right before it say. */
export interface Block {
  /** `README.md:12`, for messages. */
  place: string;
  language: string;
  text: string;
  /** Why it is not run. */
  notRun?: string;
  /** Printed for a clone, where `npm` installs and tests. */
  inClone: boolean;
  /** Commands to run first, which the page takes for granted. */
  before?: string;
  /** Flags that make it short, by command. */
  with: { command: string; flags: string }[];
}

/** The blocks of a Markdown page that are commands or programs. */
export function blocksOf(page: string): Block[] {
  const text = textOf(page);
  const blocks = text.matchAll(/((?:<!--(?:(?!-->)[\s\S])*-->\s*\n)*)^```(sh|ts)\n([\s\S]*?)^```$/gm);
  return [...blocks].map(({ index, 1: comments, 2: language, 3: content }) => {
    const line = text.slice(0, index).split("\n").length;
    const block: Block = { place: `${page}:${line}`, language: language!, text: content!, inClone: false, with: [] };
    for (const [, comment] of comments!.matchAll(/<!--([\s\S]*?)-->/g)) {
      const [, name, rest = ""] = /^\s*([a-z ]+?)(?::([\s\S]*))?$/.exec(comment!.trimEnd()) ?? [];
      if (name === "not run") block.notRun = rest.trim();
      else if (name === "in a clone") block.inClone = true;
      else if (name === "before") block.before = rest;
      else if (name === "run with") {
        const [, command, flags] = /^\s*(\S+) (.*)$/.exec(rest)!;
        block.with.push({ command: command!, flags: flags! });
      } else throw new Error(`${block.place}: nothing is known of the comment "${comment!.trim()}"`);
    }
    return block;
  });
}

/** A block's commands as the walk gives them to a shell. */
export function commandsOf(block: Block): string {
  const lines = block.text
    .split("\n")
    .map((line) =>
      block.with.reduce(
        (shown, { command, flags }) =>
          new RegExp(`^(npx )?aflora ${command} +`).test(shown) ? shown.replace(/( *#.*)?$/, ` ${flags}`) : shown,
        line,
      ),
    );
  const clone = block.inClone ? ["npm() { true; }"] : [];
  return ["set -e", ...clone, block.before ?? "", ...lines].join("\n");
}
