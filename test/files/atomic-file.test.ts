import { existsSync, mkdtempSync, readdirSync, readFileSync, rmSync } from "node:fs";
import { utimes, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { UserError } from "../../src/errors.ts";
import { removeOldTemporaries, writeAtomically } from "../../src/files/atomic-file-node.ts";

let folder: string;
let path: string;
beforeAll(() => {
  folder = mkdtempSync(join(tmpdir(), "atomic-"));
  path = join(folder, "file");
});
afterAll(() => rmSync(folder, { recursive: true }));

test("a failed write leaves the earlier file unchanged, and no other file", async () => {
  await writeAtomically(path, (file) => file.writeFile("first"));
  const failing = writeAtomically(path, async (file) => {
    await file.writeFile("half of the sec");
    throw new Error("stopped");
  });
  await expect(failing).rejects.toThrow("stopped");
  expect(readFileSync(path, "utf8")).toBe("first");
  expect(readdirSync(folder)).toEqual(["file"]);
});

// Linux's /dev/full rejects every write like a full disk.
test.skipIf(!existsSync("/dev/full"))("reports a full disk", async () => {
  const failing = writeAtomically(path, async (file) => {
    await file.writeFile("a beginning");
    await writeFile("/dev/full", "the rest");
  });
  await expect(failing).rejects.toThrow(
    new UserError(`cannot write ${path}: the disk is full; free some space or choose another disk`),
  );
  expect(readdirSync(folder)).toEqual(["file"]);
});

test("removes files of processes that ended while writing, but not of ones that may still write", async () => {
  const names = ["0", "1"].map((digit) => `file.${digit}0000000-0000-0000-0000-000000000000.tmp`);
  const others = ["other.00000000-0000-0000-0000-000000000000.tmp", "file.tmp"];
  for (const name of [...names, ...others]) await writeFile(join(folder, name), "half");
  const old = new Date(Date.now() - 120_000);
  for (const name of [names[0]!, ...others]) await utimes(join(folder, name), old, old);
  await removeOldTemporaries(path);
  expect(readdirSync(folder).sort()).toEqual(["file", names[1]!, ...others].sort());
});
