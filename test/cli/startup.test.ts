import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const MAIN = fileURLToPath(new URL("../../src/cli/main.ts", import.meta.url));

/** What a file loads before it runs: its static imports, but for those of types. */
const importsOf = (file: string): string[] =>
  [...readFileSync(file, "utf8").matchAll(/^(?:import|export) (?!type )(?:[^;]*? from )?"([^"]+)";/gm)].map(
    ([, name]) => name!,
  );

/** Every file that a file loads before it runs, and the packages among them. */
function loadedBy(start: string): { files: Set<string>; packages: string[] } {
  const packages = new Set<string>();
  const files = new Set([start]);
  for (const file of files) {
    for (const name of importsOf(file)) {
      if (name.startsWith(".")) files.add(join(dirname(file), name));
      else if (!name.startsWith("node:")) packages.add(name);
    }
  }
  return { files, packages: [...packages] };
}

test("the command line starts with few modules: a command's modules load when it is called", () => {
  const { files, packages } = loadedBy(MAIN);
  expect(packages).toEqual(["commander"]);
  expect(files.size).toBeGreaterThan(3);
});

test.each(["train", "study", "compare"])("%s says what it reads before modules for models and data load", (name) => {
  const { packages } = loadedBy(join(dirname(MAIN), `commands/${name}.ts`));
  expect(packages).toContain("zod");
  expect(packages.filter((name) => /plot|linkedom|hub|tokenizers|hyparquet|onnxruntime/.test(name))).toEqual([]);
});

test.each(["predict", "evaluate", "export", "serve", "check", "tune"])(
  "%s says it before modules for drawing load",
  (name) => {
    const { packages } = loadedBy(join(dirname(MAIN), `commands/${name}.ts`));
    expect(packages.filter((name) => /plot|linkedom/.test(name))).toEqual([]);
  },
);
