import { execFile } from "node:child_process";
import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { promisify } from "node:util";
import { afterAll, beforeAll, expect, test } from "vitest";

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-examples-"));
});
afterAll(() => rm(home, { recursive: true }));

/** Runs an example as a user would, on the sources rather than on what was built last. @returns what it printed. */
async function run(name: string): Promise<string> {
  const file = fileURLToPath(new URL(`../examples/${name}.ts`, import.meta.url));
  const flags = ["--conditions", "aflora-source", "--import", "tsx"];
  const { stdout } = await promisify(execFile)(process.execPath, [...flags, file, join(home, name)]);
  return stdout;
}

test("support tickets are routed to their teams", async () => {
  const printed = await run("route-tickets");
  const best = Math.max(...[...printed.matchAll(/accuracy (\d\.\d+)/g)].map(([, accuracy]) => Number(accuracy)));
  expect(best).toBeGreaterThan(0.8);
  expect(printed).toMatch(/matrices froze/);
  expect(printed).toMatch(/You took the money twice this month → billing/);
});

test("two methods are compared in one report", async () => {
  const printed = await run("compare-methods");
  expect(printed).toMatch(/aflora.*\n.*lora/);
  expect(await readFile(join(home, "compare-methods", "comparison.html"), "utf8")).toContain("2 runs compared");
});
