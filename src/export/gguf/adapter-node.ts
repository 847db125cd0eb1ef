import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { hasFamily } from "../../architectures/families.ts";
import type { LinearModule } from "../../architectures/model-parts.ts";
import { isPretrained } from "../../architectures/trace.ts";
import type { Adapter } from "../../base-models/adapter.ts";
import type { BaseModel } from "../../base-models/base-model.ts";
import type { FittedAdapter } from "../../base-models/fitted-adapter.ts";
import { fileSource } from "../../checkpoints/file-source-node.ts";
import {
  GGUF_ARCHITECTURES,
  type GgufArchitecture,
  ggufModule,
  headsInPairs,
  reorderPairs,
} from "../../checkpoints/gguf/architectures.ts";
import { openGguf } from "../../checkpoints/gguf/gguf.ts";
import { ggufBytes } from "../../checkpoints/gguf/write.ts";
import { readModelConfig } from "../../checkpoints/model-folder.ts";
import { opt, UserError } from "../../errors.ts";
import { float32, type Tensor } from "../../graph/tensor.ts";
import { lora } from "../../methods/lora.ts";
import { findMethod } from "../../methods/methods.ts";
import type { ExportFormat } from "../export-format.ts";
import { fullModuleName } from "../hugging-face.ts";
import { writeModelfile } from "./modelfile-node.ts";

const ADAPTER_TYPE = "lora";
export const GGUF_ADAPTER = "adapter.gguf";

/**
 * Writes an adapter as LoRA in GGUF, which llama.cpp applies to the base model in GGUF (the form of
 * `convert_lora_to_gguf.py`), with a Modelfile from which `ollama create` makes a model of both.
 */
export async function writeGgufFolder(folder: string, base: BaseModel, adapter: FittedAdapter): Promise<void> {
  const { description, adaptation, parameters } = adapter;
  const architecture = architectureFor(base);
  if (!isPretrained(base.head)) {
    throw new UserError(
      `${opt("format")} gguf is for language models: an adapter in GGUF has no place for the head of "${description.task.kind}"`,
    );
  }
  const { asLora } = adaptation;
  if (!asLora) throw noLora(`method "${findMethod(description.method).name}"`);
  const config = await readModelConfig(base.files);
  const folded = adaptation.modules.map((module) => ({ module, ...asLora(module, parameters) }));
  if (folded.some(({ magnitude }) => magnitude)) throw noLora("DoRA");
  // A file has one alpha, which each layer divides by its own rank.
  const { alpha } = folded[0]!;
  const tensors = new Map<string, Tensor<"float32">>();
  for (const { module, A, B, ...own } of folded) {
    const name = ggufModule(architecture, fullModuleName(base, module));
    if (name === undefined) throw new UserError(`${opt("format")} gguf has no name for layer "${module.name}"`);
    const scale = own.alpha / alpha;
    const scaled =
      scale === 1
        ? B
        : float32(
            B.shape,
            B.data.map((value) => value * scale),
          );
    const heads = headsInPairs(architecture, name, config);
    tensors.set(`${name}.weight.lora_a`, A);
    tensors.set(`${name}.weight.lora_b`, heads === undefined ? scaled : reorderPairs(scaled, heads, "pairs"));
  }
  const metadata = {
    "general.type": "adapter",
    "general.architecture": architecture.name,
    "general.name": `${description.task.name}: ${description.method} adapter by aflora`,
    "adapter.type": ADAPTER_TYPE,
    "adapter.lora.alpha": alpha,
  };
  await writeFile(join(folder, GGUF_ADAPTER), ggufBytes(metadata, tensors));
  await writeModelfile(folder, base, GGUF_ADAPTER);
}

const noLora = (method: string): UserError =>
  new UserError(
    `${method} does not make a plain LoRA, the only kind of adapter that GGUF holds; use ${opt("format")} merged`,
  );

function architectureFor({ config }: BaseModel): GgufArchitecture {
  const found = GGUF_ARCHITECTURES.find(({ modelTypes }) => modelTypes.includes(config.modelType));
  if (found) return found;
  const types = GGUF_ARCHITECTURES.flatMap(({ modelTypes }) => modelTypes).join(", ");
  const other = hasFamily(config.modelType) ? "merged" : "onnx";
  throw new UserError(
    `${opt("format")} gguf is for models of type ${types}, not ${config.modelType}; use ${opt("format")} ${other}`,
  );
}

export async function readGgufAdapter(
  path: string,
  base: BaseModel,
  like: Pick<Adapter["description"], "task" | "maxLength">,
): Promise<Adapter> {
  const file = await openGguf(await fileSource(path));
  const { metadata, tensors } = file;
  const architecture = architectureFor(base);
  const [type, name, alpha] = ["adapter.type", "general.architecture", "adapter.lora.alpha"].map((key) =>
    metadata.get(key),
  );
  if (type !== ADAPTER_TYPE || typeof alpha !== "number") throw new UserError(`${path} is not a LoRA adapter in GGUF`);
  if (name !== architecture.name) {
    throw new UserError(`${path} is an adapter for models of architecture "${name}", not "${architecture.name}"`);
  }
  const config = await readModelConfig(base.files);
  const parts = new Map<LinearModule, { A: Tensor<"float32">; B: Tensor<"float32"> }>();
  for (const module of base.trace.modules) {
    const own = ggufModule(architecture, fullModuleName(base, module));
    if (!tensors.has(`${own}.weight.lora_a`)) continue;
    const B = await file.read(`${own}.weight.lora_b`);
    const heads = headsInPairs(architecture, own!, config);
    parts.set(module, {
      A: await file.read(`${own}.weight.lora_a`),
      B: heads === undefined ? B : reorderPairs(B, heads, "halves"),
    });
  }
  if (2 * parts.size !== tensors.size) throw new UserError(`${path} adapts layers that ${base.name} does not have`);
  const ranks = [...parts].map(([module, { A }]) => [fullModuleName(base, module), A.shape[0]!] as const);
  const settings = {
    r: Math.max(...ranks.map(([, rank]) => rank)),
    lora_alpha: alpha,
    rank_pattern: Object.fromEntries(ranks),
  };
  const { options, parameters } = lora.peft!.read!.read(lora.peft!.read!.config.parse(settings), {
    location: path,
    layers: [...parts].map(([module, { A, B }]) => ({
      module,
      moduleName: fullModuleName(base, module),
      tensor: (part) => (part === "lora_A" ? A : B),
    })),
    shared: () => undefined,
  });
  const adapted = parts.size < base.trace.modules.length && [...parts.keys()].map((module) => module.name);
  return {
    description: {
      format: "aflora-adapter",
      model: base.name,
      modelType: base.config.modelType,
      method: lora.name,
      methodOptions: { ...options, ...(adapted && { targetModules: adapted }) },
      task: like.task,
      maxLength: like.maxLength,
    },
    parameters,
  };
}

export const ggufFormat: ExportFormat = {
  name: "gguf",
  summary: "an adapter for Ollama and llama.cpp",
  options: z.object({}),
  async write({ folder, base, adapter, fitted, compare }) {
    await writeGgufFolder(folder, base, fitted);
    return compare(base, await readGgufAdapter(join(folder, GGUF_ADAPTER), base, adapter.description));
  },
};
