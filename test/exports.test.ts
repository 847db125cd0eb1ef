import { readdirSync, readFileSync } from "node:fs";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";
import * as main from "../src/index.ts";
import * as web from "../src/web.ts";

const ROOT = fileURLToPath(new URL("..", import.meta.url));
const read = (path: string): string => readFileSync(ROOT + path, "utf8");
const files = (folder: string, ending: string): string[] =>
  readdirSync(ROOT + folder, { recursive: true, encoding: "utf8" }).flatMap((name) =>
    name.endsWith(ending) && !name.includes("node_modules") ? [read(`${folder}/${name}`)] : [],
  );

/** Names that a file exports, of types too. */
const namesIn = (path: string): number =>
  [...read(path).matchAll(/^export (?:type )?(?:\{([^}]*)\}|\* as \w+) from/gm)].flatMap(([, names = "all"]) =>
    names.split(",").filter((name) => name.trim() !== ""),
  ).length;

test("what the package exports is what docs and examples use, and no more than that", () => {
  const docs = [
    read("README.md"),
    ...files("docs", ".md"),
    ...files("examples", ".ts"),
    ...files("test/outside", ".ts"),
  ];
  const used = docs.join("\n");
  const unused = [...Object.keys(main), ...Object.keys(web)].filter((name) => !new RegExp(`\\b${name}\\b`).test(used));
  expect(unused).toEqual([]);
  expect(namesIn("src/index.ts")).toBeLessThanOrEqual(155);
  expect(namesIn("src/web.ts")).toBeLessThanOrEqual(30);
});
