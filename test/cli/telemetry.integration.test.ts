import { execFile } from "node:child_process";
import { mkdir, mkdtemp, readdir, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { promisify } from "node:util";
import { expect, test } from "vitest";
import { AFLORA } from "../support/aflora.ts";

const run = promisify(execFile);

test.for<[string, string[]]>([
  ["node", []],
  ["deno", ["run", "--allow-all"]],
  ["bun", ["run"]],
])("with %s, ONNX Runtime keeps no id of the machine and no events to send", async ([program, args], { skip }) => {
  const installed = await run(program, ["--version"]).catch(() => undefined);
  if (!installed) skip(`${program} is not installed here`);
  const folder = await mkdtemp(join(tmpdir(), "aflora-telemetry-"));
  const [home, temporary] = [join(folder, "home"), join(folder, "tmp")];
  for (const each of [home, temporary]) await mkdir(each);
  // As in a user's shell: here this process has it set, and a build server's own variable turns it off as well.
  const { ORT_DISABLE_TELEMETRY: _, CI: __, ...shell } = process.env;
  const env = { ...shell, HOME: home, USERPROFILE: home, TMPDIR: temporary, TEMP: temporary, TMP: temporary };
  const { stdout } = await run(program, [...args, AFLORA[1]!, "embed", "hello"], { env, cwd: folder });
  expect(JSON.parse(stdout).embedding).toHaveLength(384);
  const written = await Promise.all([home, temporary].map((each) => readdir(each, { recursive: true })));
  expect(written.flat().filter((name) => /onnxruntime|mat-debug|\.ses/.test(name))).toEqual([]);
  await rm(folder, { recursive: true });
});
