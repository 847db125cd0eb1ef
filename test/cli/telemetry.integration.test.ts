import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { AFLORA } from "../support/aflora.ts";

test("ONNX Runtime keeps no id of the machine and no events to send", async () => {
  const folder = await mkdtemp(join(tmpdir(), "aflora-telemetry-"));
  const [home, temporary] = [join(folder, "home"), join(folder, "tmp")];
  for (const each of [home, temporary]) await mkdir(each);
  // As in a user's shell: here this file's process has it set, and a build server's own variable turns it off as well.
  const { ORT_DISABLE_TELEMETRY: _, CI: __, ...shell } = process.env;
  const env = { ...shell, HOME: home, USERPROFILE: home, TMPDIR: temporary, TEMP: temporary, TMP: temporary };
  const { stdout } = await promisify(execFile)(AFLORA[0]!, [...AFLORA.slice(1), "embed", "hello"], {
    env,
    cwd: folder,
  });
  expect(JSON.parse(stdout).embedding).toHaveLength(384);
  expect(await readdir(home)).toEqual([]);
  expect(await readdir(temporary)).toEqual([]);
  await rm(folder, { recursive: true });
});
