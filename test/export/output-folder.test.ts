import { mkdtemp, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { diskFolder } from "../../src/export/output-folder-node.ts";

test("a file that cannot be written is named, with the reason", async () => {
  const home = await mkdtemp(join(tmpdir(), "aflora-output-"));
  const folder = diskFolder(home);
  await folder.makeFolder("onnx");
  await expect(folder.write("onnx", "a model")).rejects.toThrow(`cannot write ${join(home, "onnx")}: `);
  await rm(home, { recursive: true });
});
