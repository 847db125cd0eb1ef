import type { Adapter } from "../../src/base-models/adapter.ts";
import type { BaseModel } from "../../src/base-models/base-model.ts";
import { adaptedShapes } from "../../src/base-models/fitted-adapter.ts";
import { loadBaseModel } from "../../src/base-models/load-base-model-node.ts";
import type { Tensor } from "../../src/graph/tensor.ts";
import { constant, normal, randomFor } from "../../src/methods/initializers.ts";
import { findMethod, parseMethodOptions } from "../../src/methods/methods.ts";
import type { Example } from "../../src/tasks/example.ts";

/** Every low-rank method, small, and what PEFT has for it. */
export const LOW_RANK: Record<string, [method: string, options: Record<string, unknown>, as?: "lora"]> = {
  lora: ["lora", { rank: 4, alpha: 8 }],
  "lora-some-layers": ["lora", { rank: 3, alpha: 3, targetModules: ["query", "*.1.output.dense"] }],
  "lora-rs": ["lora", { rank: 4, alpha: 8, useRslora: true }],
  pissa: ["lora", { rank: 4, alpha: 8, initLoraWeights: "pissa" }],
  "pissa-dora": ["lora", { rank: 4, initLoraWeights: "pissa", useDora: true }],
  dora: ["lora", { rank: 4, alpha: 8, useDora: true }],
  aflora: ["aflora", { rank: 4 }],
  "lora-xs": ["lora-xs", { rank: 5 }],
  psoft: ["psoft", { rank: 5 }],
  sora: ["sora", { rank: 6 }],
  adalora: ["adalora", { rank: 2, initialRank: 5 }],
  "adalora-as-lora": ["adalora", { rank: 2, initialRank: 5 }, "lora"],
  "vera-sliced": ["vera", { rank: 48, sharing: "sliced" }],
  "vera-shape": ["vera", { rank: 16, sharing: "shape" }],
  "vera-layer": ["vera", { rank: 8, sharing: "layer" }],
};

/** Methods on GPT-2, whose checkpoints hold linear layers' weights turned, as a language model. */
export const ON_GPT2: typeof LOW_RANK = {
  "gpt2-lora": ["lora", { rank: 4, alpha: 8 }],
  "gpt2-dora": ["lora", { rank: 4, alpha: 8, useDora: true }],
  "gpt2-aflora": ["aflora", { rank: 4, targetModules: ["c_attn", "c_fc"] }],
};

/** What these learn. */
export const WRITING: Adapter["description"]["task"] = {
  name: "custom",
  kind: "language-model",
  labels: [],
  metrics: ["perplexity"],
};

/** Texts of letters, as the tiny families' tokenizer knows them, single and in pairs. */
export const EXAMPLES: Example[] = Array.from({ length: 32 }, (_, index) => {
  const text = "a bad, odd tale of ten cats and one hen".slice(0, 2 + index);
  return index % 3 === 2 ? { index, text, textPair: "a cat sat." } : { index, text };
});

/** A base model with an adapter of which no part is without effect; gates are closed here and there. */
export async function tinyAdapter(
  model: string,
  method: string,
  given: Record<string, unknown>,
  task: Adapter["description"]["task"] = {
    name: "custom",
    kind: "classification",
    labels: ["bad", "good", "odd"],
    metrics: ["accuracy"],
  },
): Promise<{ base: BaseModel; adapter: Adapter }> {
  const base = { ...(await loadBaseModel(model, task, 3)), name: "tiny" };
  const definition = findMethod(method);
  const methodOptions = parseMethodOptions(definition, given);
  const work = definition.adapt(methodOptions, base.trace.modules);
  const parameters = new Map<string, Tensor<"float32">>();
  const own = new Set(work.parameters.map(({ name }) => name));
  for (const [name, shape] of adaptedShapes(base, work)) {
    const initialize = name.endsWith(".d") ? constant(0.3) : normal(own.has(name) ? 0.2 : 0.1);
    const tensor = initialize(shape, randomFor(7, name));
    const { data: values } = tensor;
    if (/\.[gE]$/.test(name)) for (let i = 1; i < values.length; i += 3) values[i] = 0;
    // A layer all of whose gates are closed.
    if (/layer\.0\.output\.dense\.[gE]$/.test(name)) values.fill(0);
    if (work.trainsBackbone && base.trace.weights.get(name)!.part === "backbone") {
      base.weights.get(name)!.data.forEach((weight, i) => {
        values[i] = weight + 0.1 * values[i]!;
      });
    }
    parameters.set(name, tensor);
  }
  const { config } = base;
  const description = { model, modelType: config.modelType, method, methodOptions, task, maxLength: 24 };
  return { base, adapter: { description: { format: "aflora-adapter", ...description }, parameters } };
}
