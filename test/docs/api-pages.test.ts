import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { expect, test } from "vitest";

const root = fileURLToPath(new URL("../../", import.meta.url));

test("the API pages can be made, and every type that the public API names is among them", () => {
  const typedoc = fileURLToPath(new URL("../../node_modules/typedoc/bin/typedoc", import.meta.url));
  // `npm run types` checks the sources.
  const flags = ["--emit", "none", "--skipErrorChecking"];
  const { status, stdout, stderr } = spawnSync(process.execPath, [typedoc, ...flags], { cwd: root, encoding: "utf8" });
  expect([status, stdout + stderr]).toEqual([0, expect.not.stringContaining("not included in the documentation")]);
});
