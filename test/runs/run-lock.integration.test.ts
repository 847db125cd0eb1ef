import { spawn } from "node:child_process";
import { once } from "node:events";
import { mkdtemp, readdir, readFile, rm, symlink, writeFile } from "node:fs/promises";
import { hostname, tmpdir } from "node:os";
import { join } from "node:path";
import { afterEach, beforeEach, expect, test } from "vitest";
import { RunFolder } from "../../src/runs/run-folder.ts";
import { isRunLocked, lockRun } from "../../src/runs/run-lock.ts";

const DATA = { examples: { train: 1, validation: {}, sha256: { all: "", validation: "" } } };

let directory: string;
beforeEach(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-lock-"));
});
afterEach(() => rm(directory, { recursive: true }));

const writeLock = (...lines: unknown[]) => writeFile(join(directory, "run.lock"), `${lines.join("\n")}\n`);

test.each([
  ["nobody's", undefined],
  ["a crashed process's of this process's id, as in a container", [process.pid, hostname()]],
  ["no number", ["x".repeat(1e6)]],
  ["empty", []],
])("of many that want a lock that is %s, one gets it", async (_, lines) => {
  for (let round = 0; round < 20; round++) {
    if (lines) await writeLock(...lines);
    const tries = await Promise.allSettled(Array.from({ length: 32 }, () => lockRun(directory)));
    const [unlock, ...others] = tries.flatMap((each) => (each.status === "fulfilled" ? [each.value] : []));
    expect(others).toEqual([]);
    for (const each of tries) {
      if (each.status === "rejected") {
        expect(each.reason.message).toMatch(
          /^(another process|process \d+) is writing the run in .*; wait until it ends$/,
        );
      }
    }
    expect(await readdir(directory)).toEqual(["run.lock"]);
    await unlock!();
    expect(await readdir(directory)).toEqual([]);
  }
});

test("of many that want to make one new run folder, one makes it", async () => {
  for (let round = 0; round < 20; round++) {
    const path = join(directory, "runs", String(round));
    const made = await Promise.all(Array.from({ length: 32 }, () => RunFolder.makeNew(path)));
    expect(made.filter(Boolean)).toHaveLength(1);
  }
  await writeFile(join(directory, "file"), "");
  await expect(RunFolder.makeNew(join(directory, "file", "run"))).rejects.toThrow(
    /^cannot make the run folder .*option "output"$/,
  );
});

test("a lock ends with its process, and holds against other processes by any path to the folder", async () => {
  const lock = new URL("../../src/runs/run-lock.ts", import.meta.url).href;
  const program = `import { lockRun } from ${JSON.stringify(lock)}; await lockRun(process.argv[1]); console.log("held"); setInterval(() => {}, 1000);`;
  const holder = spawn(process.execPath, ["--import", "tsx", "--input-type=module", "-e", program, directory], {
    stdio: ["ignore", "pipe", "inherit"],
  });
  await once(holder.stdout, "data");
  const other = `${directory}-link`;
  await symlink(directory, other, "junction");
  await expect(lockRun(other)).rejects.toThrow(
    `process ${holder.pid} is writing the run in ${other}; wait until it ends`,
  );
  expect(await isRunLocked(directory)).toBe(true);
  holder.kill("SIGKILL");
  await once(holder, "exit");
  expect(await isRunLocked(directory)).toBe(false);
  await (await lockRun(other))();
  await rm(other);
});

test("a lock of another host holds, whatever runs here", async () => {
  await writeLock(process.pid, "elsewhere");
  await expect(lockRun(directory)).rejects.toThrow(/process \d+ on elsewhere is writing the run in .*remove run\.lock/);
  await rm(join(directory, "run.lock"));
  await (await lockRun(directory))();
});

test("a lock that another process has taken is not released", async () => {
  const unlock = await lockRun(directory);
  await writeLock(process.pid, "elsewhere");
  await unlock();
  expect(await readFile(join(directory, "run.lock"), "utf8")).toContain("elsewhere");
});

test("an old run is not touched before the lock is held", async () => {
  await writeFile(join(directory, "config.json"), "{}");
  await writeLock(process.pid, "elsewhere");
  await expect(RunFolder.create(directory, { new: true }, DATA, true)).rejects.toThrow(/is writing the run/);
  expect(await readFile(join(directory, "config.json"), "utf8")).toBe("{}");
  await rm(join(directory, "run.lock"));
  await expect(RunFolder.create(directory, { new: true }, DATA, false)).rejects.toThrow(/already holds a run/);
  expect((await readdir(directory)).sort()).toEqual(["config.json"]);
  const folder = await RunFolder.create(directory, { new: true }, DATA, true);
  expect(JSON.parse(await readFile(join(directory, "config.json"), "utf8"))).toEqual({ new: true });
  await folder.close();
});
