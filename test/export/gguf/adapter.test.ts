import { mkdtemp, readFile, rm, writeFile } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { afterAll, beforeAll, describe, expect, it } from "vitest";
import { fitAdapter } from "../../../src/base-models/fitted-adapter.ts";
import { fileSource } from "../../../src/checkpoints/file-source-node.ts";
import { reorderPairs } from "../../../src/checkpoints/gguf/architectures.ts";
import { openGguf } from "../../../src/checkpoints/gguf/gguf.ts";
import { ggufBytes } from "../../../src/checkpoints/gguf/write.ts";
import { exportAdapter } from "../../../src/export/export-adapter-node.ts";
import { readGgufAdapter, writeGgufFolder } from "../../../src/export/gguf/adapter-node.ts";
import { float32 } from "../../../src/graph/tensor.ts";
import type { Adaptation } from "../../../src/methods/method.ts";
import { runtime } from "../../support/runtime.ts";
import { EXAMPLES, LOW_RANK, tinyAdapter } from "../../support/tiny-adapter.ts";
import { writeTinyLanguageModel } from "../../support/tiny-language-model.ts";

const LLAMA = fileURLToPath(new URL("../../fixtures/gguf/llama.gguf", import.meta.url));
const task = { name: "custom", kind: "language-model", labels: [], metrics: ["perplexity"] };
const examples = EXAMPLES.slice(0, 8).map(({ index, text }) => ({ index, text }));

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "gguf-adapter-"));
});
afterAll(() => rm(folder, { recursive: true }));

/** The methods, with layers in Llama's names. */
const METHODS = Object.entries(LOW_RANK)
  .filter(([, [, { useDora }, as]]) => as === undefined && !useDora)
  .map(([name, [method, options]]) => {
    const targetModules = ["q_proj", "k_proj", "*.1.mlp.down_proj"];
    const own = { ...options, ...("targetModules" in options && { targetModules }) };
    // A LoRA has no more ranks than the smallest layer has rows.
    return [name, method, { ...own, rank: Math.min(16, Number(options.rank)) }] as const;
  });

describe("an adapter in GGUF", () => {
  it.each(METHODS)("of %s computes the adapter's function", async (name, method, options) => {
    const { base, adapter } = await tinyAdapter(LLAMA, method, options, task);
    const output = join(folder, name);
    // Compares logits before it writes.
    const report = await exportAdapter(base, adapter, { format: "gguf", output }, runtime, examples);
    expect(Object.keys(report.files).sort()).toEqual(["Modelfile", "adapter.gguf"]);
    expect(report.comparedTexts).toBe(8);
    expect(report.largestDifference).toBeLessThan(1e-4);
  });

  it("computes the same if the layers' ranks differ, of which the file has one alpha", async () => {
    const { base, adapter } = await tinyAdapter(LLAMA, "sora", { rank: 6 }, task);
    adapter.parameters.get("layers.1.mlp.down_proj.g")!.data.fill(0, 1);
    const output = join(folder, "ranks");
    const report = await exportAdapter(base, adapter, { format: "gguf", output }, runtime, examples);
    expect(report.largestDifference).toBeLessThan(1e-5);
    const { tensors } = await openGguf(await fileSource(join(output, "adapter.gguf")));
    const ranks = ["ffn_up", "ffn_down"].map((layer) => tensors.get(`blk.1.${layer}.weight.lora_a`)!.shape[0]);
    expect(ranks).toEqual([4, 1]);
  });

  it("has llama.cpp's metadata and names, and B's rows of queries and keys in its order", async () => {
    const { base, adapter } = await tinyAdapter(LLAMA, "lora", { rank: 4, alpha: 8 }, task);
    const output = join(folder, "named");
    await exportAdapter(base, adapter, { format: "gguf", output }, runtime, examples);
    const file = await openGguf(await fileSource(join(output, "adapter.gguf")));
    expect(Object.fromEntries(file.metadata)).toMatchObject({
      "general.type": "adapter",
      "general.architecture": "llama",
      "adapter.type": "lora",
      "adapter.lora.alpha": 8,
    });
    expect([...file.tensors.keys()].filter((key) => key.startsWith("blk.1.")).sort()).toEqual(
      ["attn_k", "attn_output", "attn_q", "attn_v", "ffn_down", "ffn_gate", "ffn_up"].flatMap((layer) =>
        ["a", "b"].map((part) => `blk.1.${layer}.weight.lora_${part}`),
      ),
    );
    expect(file.tensors.get("blk.0.attn_k.weight.lora_a")!.shape).toEqual([4, 32]);
    expect(file.tensors.get("blk.0.attn_k.weight.lora_b")!.shape).toEqual([16, 4]);
    const trained = adapter.parameters.get("layers.0.self_attn.k_proj.B")!.data;
    const written = (await file.read("blk.0.attn_k.weight.lora_b")).data;
    // Two heads of eight rows: rows 0 and 4 turn together, so they lie side by side.
    const rows = [0, 4, 1, 5, 2, 6, 3, 7].flatMap(
      (row, i) =>
        [
          [row, i],
          [row + 8, i + 8],
        ] as const,
    );
    for (const [own, theirs] of rows) {
      expect([...written.subarray(4 * theirs, 4 * theirs + 4)]).toEqual([...trained.subarray(4 * own, 4 * own + 4)]);
    }
    const unturned = (await file.read("blk.0.attn_v.weight.lora_b")).data;
    expect([...unturned]).toEqual([...adapter.parameters.get("layers.0.self_attn.v_proj.B")!.data]);
    // As it adapts every layer, it names none.
    const { description } = await readGgufAdapter(join(output, "adapter.gguf"), base, adapter.description);
    expect(description.methodOptions).toEqual({ rank: 4, alpha: 8 });
  });

  it("comes with a Modelfile", async () => {
    const { base, adapter } = await tinyAdapter(LLAMA, "aflora", { rank: 2 }, task);
    const output = join(folder, "modelfile");
    await exportAdapter(base, adapter, { format: "gguf", output }, runtime, examples);
    const text = await readFile(join(output, "Modelfile"), "utf8");
    expect(text).toContain(`FROM ${LLAMA}\nADAPTER ./adapter.gguf\n`);
    expect(text).toContain('PARAMETER stop "</s>"');
  });

  it("comes with a template without the first token if the tokenizer, as Ollama, adds that itself", async () => {
    const model = await writeTinyLanguageModel(join(folder, "llama-3"), { template: "llama-3" });
    const modelfile = async (name: string): Promise<string> => {
      const { base, adapter } = await tinyAdapter(model, "lora", { rank: 2, alpha: 2 }, task);
      await exportAdapter(base, adapter, { format: "gguf", output: join(folder, name) }, runtime, examples);
      return readFile(join(folder, name, "Modelfile"), "utf8");
    };
    expect(await modelfile("adds-nothing")).not.toContain("TEMPLATE");
    const tokenizer = JSON.parse(await readFile(join(model, "tokenizer.json"), "utf8"));
    tokenizer.post_processor = {
      type: "TemplateProcessing",
      single: [{ SpecialToken: { id: "<s>", type_id: 0 } }, { Sequence: { id: "A", type_id: 0 } }],
      pair: [],
      special_tokens: { "<s>": { id: "<s>", ids: [0], tokens: ["<s>"] } },
    };
    await writeFile(join(model, "tokenizer.json"), JSON.stringify(tokenizer));
    expect(await modelfile("adds-first")).toContain('TEMPLATE """{{ if .System }}<|start_header_id|>system<|end');
  });

  it("is refused for other kinds of task, methods or models", async () => {
    const classifier = await tinyAdapter(LLAMA, "lora", { rank: 2, alpha: 2 });
    const output = join(folder, "refused");
    await expect(
      exportAdapter(classifier.base, classifier.adapter, { format: "gguf", output }, runtime, EXAMPLES.slice(0, 1)),
    ).rejects.toThrow(/is for language models: .* no place for the head of "classification"/);
    const full = await tinyAdapter(LLAMA, "full", {}, task);
    await expect(exportAdapter(full.base, full.adapter, { format: "gguf", output }, runtime, examples)).rejects.toThrow(
      /method "full" does not make a plain LoRA/,
    );
    const dora = await tinyAdapter(LLAMA, "lora", { rank: 2, useDora: true }, task);
    await expect(exportAdapter(dora.base, dora.adapter, { format: "gguf", output }, runtime, examples)).rejects.toThrow(
      /DoRA does not make a plain LoRA, .*; use option "format" merged/,
    );
    const bert = fileURLToPath(new URL("../../../assets/all-MiniLM-L6-v2", import.meta.url));
    const encoder = await tinyAdapter(bert, "lora", { rank: 2, alpha: 2 });
    await expect(
      exportAdapter(encoder.base, encoder.adapter, { format: "gguf", output }, runtime, EXAMPLES.slice(0, 1)),
    ).rejects.toThrow(/option "format" gguf is for models of type llama, mistral, .*, not bert/);
    const { base, adapter } = await tinyAdapter(LLAMA, "lora", { rank: 2, alpha: 2 }, task);
    const renamed = { ...base, config: { ...base.config, modelType: "gpt2" } };
    await expect(exportAdapter(renamed, adapter, { format: "gguf", output }, runtime, examples)).rejects.toThrow(
      'option "format" gguf has no name for layer "layers.0.self_attn.q_proj"',
    );
  });

  it("is refused if a single layer is DoRA's", async () => {
    const { base, adapter } = await tinyAdapter(LLAMA, "lora", { rank: 2, useDora: true }, task);
    const fitted = fitAdapter(base, adapter);
    const { adaptation } = fitted;
    const asLora: Adaptation["asLora"] = (module, values) => {
      const { magnitude, ...plain } = adaptation.asLora!(module, values);
      return module === adaptation.modules.at(-1) ? { ...plain, magnitude } : plain;
    };
    await expect(writeGgufFolder(folder, base, { ...fitted, adaptation: { ...adaptation, asLora } })).rejects.toThrow(
      /DoRA does not make a plain LoRA/,
    );
  });

  it("is refused if a file has another type of adapter, or no alpha", async () => {
    const { base, adapter } = await tinyAdapter(LLAMA, "lora", { rank: 2, alpha: 2 }, task);
    const [architecture, alpha] = [{ "general.architecture": "llama" }, { "adapter.lora.alpha": 2 }];
    for (const [name, own] of Object.entries({
      other: { "adapter.type": "ia3", ...alpha },
      bare: { "adapter.type": "lora" },
    })) {
      const path = join(folder, `${name}.gguf`);
      await writeFile(path, ggufBytes({ ...architecture, ...own }, new Map()));
      await expect(readGgufAdapter(path, base, adapter.description), name).rejects.toThrow(
        `${path} is not a LoRA adapter in GGUF`,
      );
    }
  });

  it("is refused for another base model, and if it is no adapter", async () => {
    const { base, adapter } = await tinyAdapter(LLAMA, "lora", { rank: 2, alpha: 2 }, task);
    const output = join(folder, "of-llama");
    await exportAdapter(base, adapter, { format: "gguf", output }, runtime, examples);
    const path = join(output, "adapter.gguf");
    const smaller = { ...base, trace: { ...base.trace, modules: base.trace.modules.slice(1) } };
    await expect(readGgufAdapter(path, smaller, adapter.description)).rejects.toThrow(
      /adapts layers that tiny does not/,
    );
    const other = { ...base, config: { ...base.config, modelType: "qwen2" } };
    await expect(readGgufAdapter(path, other, adapter.description)).rejects.toThrow(
      /for models of architecture "llama", not "qwen2"/,
    );
    await expect(readGgufAdapter(LLAMA, base, adapter.description)).rejects.toThrow(/is not a LoRA adapter in GGUF/);
  });

  it("has rows that convert from one order to the other and back", () => {
    const rows = float32(
      [16, 3],
      Float32Array.from({ length: 48 }, (_, i) => i),
    );
    expect(reorderPairs(reorderPairs(rows, 2, "pairs"), 2, "halves")).toEqual(rows);
    expect(reorderPairs(reorderPairs(rows, 4, "halves"), 4, "pairs")).toEqual(rows);
  });
});
