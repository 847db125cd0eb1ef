import { mkdtemp, readdir, readFile, rm } from "node:fs/promises";
import { createServer } from "node:http";
import type { AddressInfo } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, expect, test } from "vitest";
import { BASE_FORMATS } from "../../src/architectures/base-format.ts";
import { adapterBytes, readAdapter } from "../../src/base-models/adapter.ts";
import { loadAdapter, saveAdapter } from "../../src/base-models/adapter-folder-node.ts";
import { type BaseModel, readBaseModel, withHead } from "../../src/base-models/base-model.ts";
import { folderFiles } from "../../src/checkpoints/file-source-node.ts";
import { memoryFiles, urlFiles } from "../../src/checkpoints/model-files.ts";
import { EXAMPLES, tinyAdapter } from "../support/tiny-adapter.ts";
import { writeTinyFamily } from "../support/tiny-family.ts";

const task = { kind: "classification" as const, labels: ["bad", "good", "odd"] };
let directory: string;
let model: string;

beforeAll(async () => {
  directory = await mkdtemp(join(tmpdir(), "aflora-base-"));
  model = await writeTinyFamily(join(directory, "model"), "bert-1", { blocks: 1 });
});
afterAll(() => rm(directory, { recursive: true, force: true }));

/** Content of a model, without its source. */
const contents = ({ weights, quantized, newWeights, unused, config }: BaseModel) => ({
  weights,
  quantized,
  newWeights,
  unused,
  config,
});

test("a model read from a folder, a web server or memory is the same", async () => {
  const expected = await readBaseModel(folderFiles(model), task, 1);
  const server = createServer(async (request, response) => {
    const bytes = await readFile(join(model, request.url!.slice(1))).catch(() => undefined);
    if (bytes) response.end(bytes);
    else response.writeHead(404).end();
  });
  await new Promise<void>((listening) => server.listen(0, "127.0.0.1", listening));
  const url = `http://127.0.0.1:${(server.address() as AddressInfo).port}`;
  const fromUrl = await readBaseModel(urlFiles(url), task, 1);
  server.close();
  expect(contents(fromUrl)).toEqual(contents(expected));
  expect(fromUrl.name).toBe(url);

  const files: Record<string, Blob> = {};
  for (const name of await readdir(model)) files[name] = new Blob([await readFile(join(model, name))]);
  const fromMemory = await readBaseModel(memoryFiles("dropped", files), task, 1);
  expect(contents(fromMemory)).toEqual(contents(expected));
  const text = EXAMPLES[3]!.text;
  expect(fromMemory.tokenizer.encode(text, undefined, 20)).toEqual(expected.tokenizer.encode(text, undefined, 20));
});

test.each(BASE_FORMATS)(
  "withHead shares the backbone (%s), and the result equals a model read for the new task",
  async (format) => {
    const base = await readBaseModel(folderFiles(model), { kind: "regression", labels: [] }, 1, { format });
    const other = await withHead(base, task, 5);
    expect(contents(other)).toEqual(contents(await readBaseModel(folderFiles(model), task, 5, { format })));
    for (const { name, part } of base.trace.weights.values()) {
      if (part === "backbone") expect(other.weights.get(name), name).toBe(base.weights.get(name));
    }
    for (const [name, tensor] of base.quantized) expect(other.quantized.get(name), name).toBe(tensor);
    expect(base.quantized.size > 0).toBe(format !== "float32");
  },
);

test("an adapter's bytes equal its folder's files and can be read back", async () => {
  const { adapter } = await tinyAdapter(model, "aflora", { rank: 4 });
  const bytes = adapterBytes(adapter);
  const folder = join(directory, "adapter");
  await saveAdapter(folder, adapter);
  expect((await readdir(folder)).sort()).toEqual(Object.keys(bytes).sort());
  for (const [name, content] of Object.entries(bytes)) {
    expect(new Uint8Array(await readFile(join(folder, name))), name).toEqual(content);
  }
  expect(await readAdapter(memoryFiles("adapter", bytes))).toEqual(adapter);
  expect(await loadAdapter(folder)).toEqual(adapter);
  const { "adapter.safetensors": _, ...alone } = bytes;
  await expect(readAdapter(memoryFiles("adapter", alone))).rejects.toThrow(/adapter has no adapter\.safetensors/);
});
