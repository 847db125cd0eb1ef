import { readdirSync, statSync } from "node:fs";
import { dirname, join } from "node:path";
import { expect, test } from "vitest";
import { PAGES, ROOT, textOf } from "./pages.ts";

test("the pictures of the README and the docs are there for light and dark, and small", () => {
  const shown = PAGES.flatMap((page) =>
    [...textOf(page).matchAll(/"((?:docs\/)?pictures\/[\w.-]+)"/g)].map(([, name]) => join(dirname(page), name!)),
  );
  const folders = ["docs/pictures", "docs/results/pictures"];
  const files = folders.flatMap((folder) => readdirSync(join(ROOT, folder)).map((name) => join(folder, name)));
  expect(files.toSorted()).toEqual(shown.toSorted());
  for (const name of shown) {
    expect(shown).toContain(name.replace(/light|dark/, (theme) => (theme === "light" ? "dark" : "light")));
    expect(statSync(join(ROOT, name)).size).toBeLessThan(100_000);
  }
});
