import { existsSync } from "node:fs";
import { copyFile, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { describe, expect, it } from "vitest";
import { fileSource, folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { openModelFolder } from "../../src/checkpoints/model-folder.ts";
import { openPickle } from "../../src/checkpoints/pickle-node.ts";
import { openSafetensorsFile } from "../../src/checkpoints/safetensors-node.ts";
import { UserError } from "../../src/errors.ts";
import { bytesSource } from "../../src/files/byte-source.ts";

const fixture = (name: string) => fileURLToPath(new URL(`../fixtures/torch-files/${name}`, import.meta.url));

const openFile = async (path: string) => openPickle(await fileSource(path));

describe("openPickle", () => {
  it.each(["sound.bin", "legacy.bin", "protocol4.bin"])("reads %s as PyTorch wrote it", async (name) => {
    const expected = await openSafetensorsFile(fixture("sound.safetensors"));
    const source = await openFile(fixture(name));
    expect([...source.tensors.keys()].sort()).toEqual([...expected.tensors.keys()].sort());
    for (const [tensor, { shape }] of expected.tensors) {
      expect(source.tensors.get(tensor)!.shape, tensor).toEqual(shape);
      expect(await source.read(tensor), tensor).toEqual(await expected.read(tensor));
    }
    expect(source.tensors.get("half")!.dtype).toBe("F16");
    expect(source.tensors.get("position_ids")!.dtype).toBe("I64");
    await expect(source.read("missing")).rejects.toThrow(UserError);
  });

  it.each([
    ["hostile-command.bin", /"posix\.system".*nothing of it was run/],
    ["hostile-eval.bin", /"builtins\.eval"/],
    ["hostile-bare.bin", /"posix\.system"/],
    ["hostile-bomb.bin", /compressed/],
    ["hostile-climb.bin", /invalid relative path/],
    ["hostile-absolute.bin", /absolute path/],
    ["hostile-length.bin", /"w" of shape \[1048576,1048576\] claims more data/],
    ["hostile-offset.bin", /"w".*claims more data/],
    ["hostile-stride.bin", /"w".*claims more data/],
    ["hostile-repeat.bin", /"w".*claims more data/],
    ["hostile-directory.bin", /16777216 > 416/],
  ])("rejects %s", async (name, message) => {
    await expect(openFile(fixture(name))).rejects.toThrow(message);
    await expect(openFile(fixture(name))).rejects.toThrow(UserError);
    expect(existsSync("hostile-pickle-was-run")).toBe(false);
  });

  it("rejects truncated and changed files with a clear sentence, or reads them", async () => {
    const folder = await mkdtemp(join(tmpdir(), "aflora-pickle-"));
    for (const name of ["by-hand.bin", "legacy.bin"]) {
      const whole = await readFile(fixture(name));
      for (let cut = 0; cut < whole.length; cut += 1 + (cut >> 4)) {
        const path = join(folder, `cut-${cut}-${name}`);
        await writeFile(path, whole.subarray(0, cut));
        await expect(openFile(path)).rejects.toThrow(UserError);
      }
      for (let at = 0; at < whole.length; at += 1 + (at >> 5)) {
        const path = join(folder, `changed-${at}-${name}`);
        await writeFile(
          path,
          Buffer.concat([whole.subarray(0, at), Buffer.from([whole[at]! ^ 0x51]), whole.subarray(at + 1)]),
        );
        const source = await openFile(path).catch((error) => error);
        if (source instanceof Error) expect(source, `byte ${at} of ${name}: ${source.stack}`).toBeInstanceOf(UserError);
        else for (const tensor of source.tensors.keys()) await source.read(tensor);
      }
    }
    await rm(folder, { recursive: true });
  });

  /** A file of torch.save before PyTorch 1.6 with one tensor of one number. @param parts instructions that push its names */
  const legacy = ({ module = text("torch._utils"), key = text("k"), name = text("w"), listed = text("k") }): Buffer => {
    const storage = `(${text("storage")}ctorch\nFloatStorage\n${key}${text("cpu")}K\x01tQ`;
    const tensor = `${module}${text("_rebuild_tensor_v2")}\x93(${storage}K\0K\x01\x85K\x01\x85tR`;
    const magic = "\x8a\nl\xfc\x9cF\xf9 j\xa8P\x19";
    const pickles = [magic, "M\xe9\x03", "}", `}${name}${tensor}s`, `]${listed}a`];
    return Buffer.from(`${pickles.map((each) => `\x80\x02${each}.`).join("")}${"\0".repeat(12)}`, "latin1");
  };
  const text = (content: string): string => `U${String.fromCharCode(content.length)}${content}`;
  /** A tuple of a tuple twice, of which each is one of a tuple twice, and so on: as text, 2^40 characters. */
  const nested = `)${Array.from({ length: 40 }, (_, i) => `q${String.fromCharCode(i)}h${String.fromCharCode(i)}\x86`).join("")}`;

  it.each([
    ["a function", { module: nested }, /a name that is no text at byte \d+/],
    ["a storage", { key: nested }, /an invalid storage at byte \d+/],
    ["a tensor", { name: nested }, /a tensor's name is no text/],
    ["a storage in the list", { listed: nested }, /it names a storage in another way/],
  ])("rejects %s whose name is an endless tuple", async (_what, parts, message) => {
    expect((await openPickle(bytesSource("made.bin", legacy({})))).tensors.has("w")).toBe(true);
    const opened = openPickle(bytesSource("made.bin", legacy(parts)));
    await expect(opened).rejects.toThrow(UserError);
    await expect(opened).rejects.toThrow(message);
  });

  it("reads shards by their index", async () => {
    const folder = await mkdtemp(join(tmpdir(), "aflora-pickle-"));
    const shards = [
      "pytorch_model-00001-of-00002.bin",
      "pytorch_model-00002-of-00002.bin",
      "pytorch_model.bin.index.json",
    ];
    for (const name of shards) await copyFile(fixture(name), join(folder, name));
    await writeFile(join(folder, "config.json"), '{"model_type":"bert"}');
    const { weights } = await openModelFolder(folderFiles(folder));
    const expected = await openSafetensorsFile(fixture("sound.safetensors"));
    expect([...weights.tensors.keys()].sort()).toEqual(["encoder", "permuted", "transposed", "window"]);
    for (const name of weights.tensors.keys())
      expect(await weights.read(name), name).toEqual(await expected.read(name));
    await rm(folder, { recursive: true });
  });

  it("reports a missing file", async () => {
    await expect(openFile(fixture("none.bin"))).rejects.toThrow(/cannot read .*none\.bin/);
  });
});
