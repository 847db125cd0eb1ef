import { readdirSync, readFileSync, statSync } from "node:fs";
import { expect, test } from "vitest";
import { ROOT } from "./pages.ts";

test("the pictures of the README and the docs are there for light and dark, and small", () => {
  const pages = [
    "README.md",
    ...readdirSync(`${ROOT}/docs`).flatMap((name) => (name.endsWith(".md") ? `docs/${name}` : [])),
  ];
  const shown = pages.flatMap((page) =>
    [...readFileSync(`${ROOT}/${page}`, "utf8").matchAll(/"(?:docs\/)?pictures\/([\w.-]+)"/g)].map(([, name]) => name!),
  );
  expect(readdirSync(`${ROOT}/docs/pictures`).toSorted()).toEqual(shown.toSorted());
  for (const name of shown) {
    expect(shown).toContain(name.replace(/light|dark/, (theme) => (theme === "light" ? "dark" : "light")));
    expect(statSync(`${ROOT}/docs/pictures/${name}`).size).toBeLessThan(100_000);
  }
});
