import { mkdtemp, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { expect, test } from "vitest";
import { refuseIfNotEmpty } from "../../src/export/export-adapter-node.ts";
import { diskFolder } from "../../src/export/output-folder-node.ts";

test("a file that cannot be written is named, with the reason", async () => {
  const home = await mkdtemp(join(tmpdir(), "aflora-output-"));
  const folder = diskFolder(home);
  await folder.makeFolder("onnx");
  await expect(folder.write("onnx", "a model")).rejects.toThrow(`cannot write ${join(home, "onnx")}: `);
  await rm(home, { recursive: true });
});

test("a folder takes an export if it is empty, or not there yet", async () => {
  const home = await mkdtemp(join(tmpdir(), "aflora-output-"));
  await refuseIfNotEmpty(join(home, "new"));
  await refuseIfNotEmpty(home);
  await writeFile(join(home, "mine.txt"), "mine");
  await expect(refuseIfNotEmpty(home)).rejects.toThrow(`${home} is not empty`);
  await rm(home, { recursive: true });
});
