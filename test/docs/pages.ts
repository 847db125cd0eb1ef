import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";

export const ROOT = fileURLToPath(new URL("../..", import.meta.url));

/** The pages, from the root. */
export const PAGES: readonly string[] = [
  "README.md",
  "CONTRIBUTING.md",
  ...readdirSync(`${ROOT}/docs`).flatMap((name) => (name.endsWith(".md") ? `docs/${name}` : [])),
];

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
  const text = readFileSync(`${ROOT}/${page}`, "utf8");
  const blocks = text.matchAll(/((?:<!--[\s\S]*?-->\s*\n)*)^```(sh|ts)\n([\s\S]*?)^```$/gm);
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
