import { mkdtemp, readFile, rm } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Adapter } from "../../../src/base-models/adapter.ts";
import { type OnnxFolderOptions, writeOnnxFolder } from "../../../src/export/onnx/folder.ts";
import { diskFolder } from "../../../src/export/output-folder-node.ts";
import { pictureModel } from "../../support/pictures.ts";
import { writeTinyEncoderDecoder } from "../../support/synthetic-rewriting.ts";
import { tinyAdapter } from "../../support/tiny-adapter.ts";
import { writeTinyFamily } from "../../support/tiny-family.ts";

const SEARCH = { name: "search", kind: "embedding", labels: [], metrics: ["ndcg_at_10"] };

let home: string;
beforeAll(async () => {
  home = await mkdtemp(join(tmpdir(), "aflora-onnx-folder-"));
});
afterAll(() => rm(home, { recursive: true }));

/** Writes the folder of a model. @returns its README */
async function readmeOf(
  name: string,
  model: string,
  task?: Adapter["description"]["task"],
  options: OnnxFolderOptions = {},
): Promise<string> {
  const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2 }, task);
  const folder = join(home, name);
  await writeOnnxFolder(diskFolder(folder), base, adapter.description, base.weights, options);
  return readFile(join(folder, "README.md"), "utf8");
}

describe("a folder for Transformers.js", () => {
  test.each([
    ["q8", 8],
    ["q4", 4],
  ] as const)("tells that the weights of its second file, %s, have %i bits", async (quantization, bits) => {
    const model = await writeTinyFamily(join(home, `${quantization}-model`), "bert-1", { blocks: 1 });
    expect(await readmeOf(quantization, model, undefined, { quantization })).toContain(
      `\`dtype\` is "fp32", or "${quantization}" for the model with weights in ${bits} bits.`,
    );
  });

  test("tells how a picture becomes one vector", async () => {
    const readme = await readmeOf("pictures", pictureModel("vit"), { ...SEARCH, kind: "image-embedding" });
    expect(readme).toContain('embed("picture.jpg", { pool: true })');
  });

  test("is refused for an encoder-decoder that makes vectors", async () => {
    const model = await writeTinyEncoderDecoder(join(home, "bart"), "bart");
    await expect(readmeOf("vectors", model, SEARCH)).rejects.toThrow(
      'an encoder-decoder that does not write texts cannot be exported as ONNX; use option "format" merged',
    );
  });
});
