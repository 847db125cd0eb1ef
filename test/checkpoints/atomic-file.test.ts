import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { writeAtomically } from "../../src/checkpoints/atomic-file-node.ts";
import { UserError } from "../../src/errors.ts";

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "atomic-"));
  path = join(folder, "file");
});
afterAll(() => rmSync(folder, { recursive: true }));

test("a failed write leaves the earlier file as it was, and no other", async () => {
  await writeAtomically(path, (file) => file.writeFile("first"));
  const failing = writeAtomically(path, async (file) => {
    await file.writeFile("half of the sec");
    throw new Error("stopped");
  });
  await expect(failing).rejects.toThrow("stopped");
  expect(readFileSync(path, "utf8")).toBe("first");
  expect(readdirSync(folder)).toEqual(["file"]);
});

// Linux's /dev/full refuses every write as a full disk does.
test.skipIf(!existsSync("/dev/full"))("a full disk is said to be full", async () => {
  const failing = writeAtomically(path, async (file) => {
    await file.writeFile("a beginning");
    await writeFile("/dev/full", "the rest");
  });
  await expect(failing).rejects.toThrow(
    new UserError(`cannot write ${path}: the disk is full; free some space or choose another disk`),
  );
  expect(readdirSync(folder)).toEqual(["file"]);
});
