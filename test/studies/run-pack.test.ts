import { existsSync } from "node:fs";
import { mkdir, mkdtemp, readdir, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { dirname, join } from "node:path";
import { afterEach, beforeEach, expect, it } from "vitest";
import { packRun, unpackRun } from "../../src/studies/queue/run-pack.ts";

let home: string;
let to: string;
beforeEach(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-run-pack-"));
  to = join(home, "queue", "run");
});
afterEach(() => rm(home, { recursive: true }));

/** A pack as one would make it by hand, of files and the sizes that it claims, and their bytes. */
function packOf(files: { name: string; size: number }[], bytes: Buffer = Buffer.alloc(0), dtype = "U8"): Buffer {
  let end = 0;
  const entries = files.map(({ name, size }) => {
    end += size;
    return [name, { dtype, shape: [size], data_offsets: [end - size, end] }];
  });
  const list = Buffer.from(JSON.stringify({ __metadata__: { aflora: "{}" }, ...Object.fromEntries(entries) }));
  const length = Buffer.alloc(8);
  length.writeBigUInt64LE(BigInt(list.length));
  return Buffer.concat([length, list, bytes]);
}

it("a packed run is unpacked completely and replaces the old one; files that belong to no run are not packed", async () => {
  const from = join(home, "packed");
  const files = { "config.json": "{}", "scores.jsonl": "scores", "adapter/adapter.safetensors": "weights" };
  const others = { "secret.txt": "", "adapter/secret.txt": "", "other.json": "{}", "report.html": "" };
  for (const [name, text] of Object.entries({ ...files, ...others })) {
    await mkdir(dirname(join(from, name)), { recursive: true });
    await writeFile(join(from, name), text);
  }
  await mkdir(to, { recursive: true });
  await writeFile(join(to, "old.json"), "{}");
  await unpackRun(await packRun(from), to);
  const found = await readdir(to, { recursive: true, withFileTypes: true });
  expect(
    found
      .filter((each) => each.isFile())
      .map(({ name }) => name)
      .sort(),
  ).toEqual([...["adapter.safetensors", "config.json", "scores.jsonl"]]);
  for (const [name, text] of Object.entries(files)) expect(await readFile(join(to, name), "utf8")).toBe(text);
  await expect(unpackRun(Buffer.from("nothing"), to)).rejects.toThrow(/not a packed run/);
  await expect(unpackRun(packOf([]), to)).rejects.toThrow(/not a packed run/);
  expect(await readFile(join(to, "config.json"), "utf8")).toBe("{}");
});

const ABSOLUTE = "/tmp/aflora-evil.json";

it.each([
  "../evil.json",
  "adapter/../../evil.json",
  "..\\evil.json",
  "adapter\\..\\..\\evil.json",
  ABSOLUTE,
  "evil.sh",
  "other/evil.json",
  "adapter/evil.sh",
  "adapter/deep/evil.json",
  "config.json\n",
  ".json",
  "",
])("a pack may hold no file %j, and none of what it holds beside it", async (name) => {
  const files = [
    { name: "config.json", size: 2 },
    { name, size: 2 },
  ];
  await expect(unpackRun(packOf(files, Buffer.from("{}{}")), to)).rejects.toThrow(/not a packed run/);
  expect(await readdir(home, { recursive: true })).toEqual([]);
  expect(existsSync(ABSOLUTE)).toBe(false);
});

it.each([
  ["more files than a run has", packOf(Array.from({ length: 101 }, (_, i) => ({ name: `a${i}.json`, size: 0 })))],
  ["more bytes than it holds", packOf([{ name: "config.json", size: 3 }], Buffer.from("{}"))],
  ["fewer bytes than it holds", packOf([{ name: "config.json", size: 1 }], Buffer.from("{}"))],
  ["a list that is longer than any", Buffer.from([255, 255, 255, 127, 0, 0, 0, 0])],
  ["half of its bytes", packOf([{ name: "config.json", size: 2 }], Buffer.from("{}")).subarray(0, 40)],
  ["files of other types than bytes", packOf([{ name: "config.json", size: 2 }], Buffer.from("{}"), "I8")],
  ["nothing", Buffer.alloc(0)],
])("a pack that names %s is refused, and what was there stays", async (_, pack) => {
  await unpackRun(packOf([{ name: "config.json", size: 2 }], Buffer.from("{}")), to);
  await expect(unpackRun(pack, to)).rejects.toThrow(/not a packed run/);
  expect(await readdir(join(home, "queue"))).toEqual(["run"]);
  expect(await readFile(join(to, "config.json"), "utf8")).toBe("{}");
});

it("a pack of a run whose reward is a file is refused: resuming would execute the file", async () => {
  const packed = (config: object): Buffer => {
    const bytes = Buffer.from(JSON.stringify(config));
    return packOf([{ name: "config.json", size: bytes.length }], bytes);
  };
  await expect(unpackRun(packed({ reward: "/home/me/reward.ts" }), to)).rejects.toThrow(/may not name a file to run/);
  expect(existsSync(to)).toBe(false);
  await unpackRun(packed({ reward: "json" }), to);
  expect(existsSync(to)).toBe(true);
});
