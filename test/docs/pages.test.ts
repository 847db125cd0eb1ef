import { existsSync } from "node:fs";
import { dirname, join, normalize } from "node:path";
import { describe, expect, test } from "vitest";
import { withOptions } from "../../scripts/option-tables.ts";
import { anchorsOf, blocksOf, linksOf, PAGES, textOf, wordsOf } from "./pages.ts";

test("the README has at most 750 words, as wc counts them", () => {
  expect(textOf("README.md").trim().split(/\s+/).length).toBeLessThanOrEqual(750);
});

test("each command of the README's table stands on the page that it is linked with", () => {
  const rows = [...textOf("README.md").matchAll(/^\| \[[^\]]*\]\(([^)#]*)[^)]*\) \| `npx (aflora [^`]*)` \|$/gm)];
  expect(rows.length).toBeGreaterThan(7);
  for (const [, page, command] of rows) {
    const commands = blocksOf(page!).map(({ text }) => text.replaceAll("npx ", ""));
    expect(commands.join("\n"), page).toContain(command);
  }
});

test("the table of contents has every page of docs/ once", () => {
  const listed = linksOf("docs/index.md").map(({ file }) => normalize(join("docs", file)));
  const pages = PAGES.filter((page) => page !== "docs/index.md" && page !== "README.md");
  expect(listed.toSorted()).toEqual(["CHANGELOG.md", ...pages].toSorted());
});

test("only what needs the hub, a GPU, a browser, Python, a clone or a client is not run", () => {
  const reasons = PAGES.flatMap(blocksOf).flatMap(({ place, notRun }) =>
    notRun === undefined ? [] : `${place}: ${notRun}`,
  );
  const needed =
    /: (the hub|downloads CUDA|in a (browser|clone)|a server|a cluster|Docker|Python|the walk has|it needs a large file|a file of the sources)/;
  expect(reasons.filter((reason) => !needed.test(reason))).toEqual([]);
});

describe.each(PAGES)("%s", (page) => {
  test("has at most 1,800 words", () => {
    expect(wordsOf(page)).toBeLessThanOrEqual(1800);
  });

  test("begins with its subject, not with what its reader can do", () => {
    expect(textOf(page)).not.toMatch(/^# .+\n\nAfter this (page|lesson)/);
  });

  test("has the tables of options and fields that its schemas and types give", () => {
    expect(textOf(page)).toBe(withOptions(textOf(page)));
  });

  test("links to pages and headings that are there", () => {
    for (const { file, anchor, link } of linksOf(page)) {
      const target = file === "" ? page : normalize(join(dirname(page), file)).replaceAll("\\", "/");
      expect(existsSync(target), link).toBe(true);
      if (anchor !== undefined) expect(anchorsOf(target), link).toContain(anchor);
    }
  });
});
