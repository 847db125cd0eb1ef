import { spawnSync } from "node:child_process";
import { mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RunFolder } from "../../src/runs/run-folder.ts";
import { lockRun } from "../../src/runs/run-lock.ts";

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-lock-"));
});
afterEach(() => rm(directory, { recursive: true }));

const deadProcess = () => spawnSync(process.execPath, ["--version"]).pid;
const writeLock = (...lines: unknown[]) => writeFile(join(directory, "run.lock"), `${lines.join("\n")}\n`);

test.each([
  ["nobody's", () => []],
  ["a crashed process's", () => [deadProcess(), hostname(), "token"]],
  ["a crashed process's of an earlier version", () => [deadProcess()]],
])("of many that want a lock that is %s, one gets it", async (_, lines) => {
  for (let round = 0; round < 20; round++) {
    const held = lines();
    if (held.length > 0) await writeLock(...held);
    // They begin one after another, so that some find the lock dead that others have broken meanwhile.
    const tries = await Promise.allSettled(
      Array.from({ length: 32 }, async (_, i) => {
        await wait(i / 8);
        return lockRun(directory);
      }),
    );
    const [unlock, ...others] = tries.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    expect(others).toEqual([]);
    for (const each of tries) {
      if (each.status === "rejected")
        expect(each.reason.message).toMatch(/is writing the run in .*; wait until it ends/);
    }
    expect(await readdir(directory)).toEqual(["run.lock"]);
    await unlock!();
    expect(await readdir(directory)).toEqual([]);
  }
});

test("a crash while a dead lock was being broken stops nobody", async () => {
  await writeLock(deadProcess(), hostname(), "token");
  await writeFile(join(directory, "run.lock.token"), `${deadProcess()}\n${hostname()}\nother\n`);
  const unlock = await lockRun(directory);
  await unlock();
  expect(await readdir(directory)).toEqual([]);
});

test("a lock of another host is held, whatever runs here, and so is one that is being written", async () => {
  await writeLock(deadProcess(), "elsewhere", "token");
  await expect(lockRun(directory)).rejects.toThrow(/process \d+ on elsewhere is writing the run in .*remove run\.lock/);
  await writeFile(join(directory, "run.lock"), "");
  await expect(lockRun(directory)).rejects.toThrow(/another process is writing the run/);
});

test("a lock that somebody else has taken is not given back", async () => {
  const unlock = await lockRun(directory);
  await writeLock(process.pid, hostname(), "another's");
  await unlock();
  expect(await readFile(join(directory, "run.lock"), "utf8")).toContain("another's");
});

test("an old run is not touched before the lock is held", async () => {
  await writeFile(join(directory, "config.json"), "{}");
  await writeLock(process.pid, "elsewhere", "token");
  await expect(RunFolder.create(directory, { new: true }, {}, true)).rejects.toThrow(/is writing the run/);
  expect(await readFile(join(directory, "config.json"), "utf8")).toBe("{}");
  await rm(join(directory, "run.lock"));
  await expect(RunFolder.create(directory, { new: true }, {}, false)).rejects.toThrow(/already holds a run/);
  expect((await readdir(directory)).sort()).toEqual(["config.json"]);
  const folder = await RunFolder.create(directory, { new: true }, {}, true);
  expect(JSON.parse(await readFile(join(directory, "config.json"), "utf8"))).toEqual({ new: true });
  await folder.close();
});
