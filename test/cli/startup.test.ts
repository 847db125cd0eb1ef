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

test("the command line starts with few modules: those of a command are loaded when it is called", () => {
  const packages = new Set<string>();
  const files = new Set([MAIN]);
  for (const file of files) {
    for (const name of importsOf(file)) {
      if (name.startsWith(".")) files.add(join(dirname(file), name));
      else if (!name.startsWith("node:")) packages.add(name);
    }
  }
  expect([...packages]).toEqual(["commander"]);
  expect(files.size).toBeGreaterThan(3);
});
