import { writeFile } from "node:fs/promises";
import { join } from "node:path";
import { writeJsonFile } from "../checkpoints/json-file-node.ts";
import { writeSafetensors } from "../checkpoints/safetensors-node.ts";
import { UserError } from "../errors.ts";
import type { Adapter, AdapterDescription } from "../finetuning/adapter.ts";
import type { BaseModel } from "../finetuning/base-model.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { LinearSite } from "../models/architecture.ts";
import { PEFT_CONFIG } from "../runs/peft-adapter.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { fullName, labelNames, publicName } from "./hugging-face.ts";
import { foldLayer, isLowRank } from "./low-rank.ts";

/** What a method's adapter is in PEFT: settings of its type, and tensors by name without `base_model.model.`. */
interface PeftForm {
  config: Record<string, unknown>;
  layers: Map<string, Tensor<"float32">>;
  /** Beside the layers, by their names without `base_model.`. */
  shared?: Map<string, Tensor<"float32">>;
}

/**
 * Writes an adapter folder of Hugging Face PEFT: AFLoRA, SoRA, LoRA and ELoRA as LoRA, ELoRA that shares its
 * projections as PEFT does as VeRA, AdaLoRA as AdaLoRA or, with `as: "lora"`, as LoRA of its remaining ranks.
 * @param sites the layers that the method adapts
 * @throws UserError where PEFT has nothing that the adapter could be.
 */
export async function writePeftFolder(
  folder: string,
  base: BaseModel,
  { description, parameters }: Adapter,
  sites: readonly LinearSite[],
  as?: "lora",
): Promise<void> {
  const { config, layers, shared = new Map() } = peftForm(base, description, parameters, sites, as);
  const head = headToSave(base, parameters);
  const tensors = new Map<string, Tensor<"float32">>();
  for (const [name, data] of [...layers, ...head.tensors]) tensors.set(`base_model.model.${name}`, data);
  for (const [name, data] of shared) tensors.set(`base_model.${name}`, data);
  await writeSafetensors(join(folder, "adapter_model.safetensors"), tensors, { format: "pt" });
  await writeJsonFile(join(folder, PEFT_CONFIG), {
    base_model_name_or_path: publicName(base),
    ...(base.revision !== undefined && { revision: base.revision }),
    task_type: findTaskKind(description.task.kind).huggingFace.peftTaskType,
    inference_mode: true,
    target_modules: targetModules(base, sites),
    modules_to_save: head.modules,
    bias: "none",
    fan_in_fan_out: false,
    ...config,
  });
  await writeFile(join(folder, "README.md"), readmeOf(base, description));
}

function peftForm(
  base: BaseModel,
  description: AdapterDescription,
  parameters: Tensors<"float32">,
  sites: readonly LinearSite[],
  as: "lora" | undefined,
): PeftForm {
  const { method, methodOptions } = description;
  if (as === "lora" && method !== "adalora") {
    throw new UserError(`--as lora is for AdaLoRA; an adapter of method "${method}" has one form in PEFT`);
  }
  if (method === "adalora" && as === undefined) return adaloraForm(base, description, parameters, sites);
  if (method === "elora" && methodOptions.sharing === "sliced") return veraForm(base, description, parameters, sites);
  if (isLowRank(method)) return loraForm(base, description, parameters, sites);
  throw new UserError(
    `method "${method}" leaves no adapter that Hugging Face PEFT knows; use --format merged or --format onnx`,
  );
}

function loraForm(
  base: BaseModel,
  description: AdapterDescription,
  parameters: Tensors<"float32">,
  sites: readonly LinearSite[],
): PeftForm {
  const folded = sites.map((site) => ({ site, ...foldLayer(description, site, parameters) }));
  const tooLarge = folded.find(({ site, rank }) => rank > Math.min(site.inFeatures, site.outFeatures));
  if (tooLarge) {
    throw new UserError(
      `as LoRA, rank ${tooLarge.rank} is more than layer "${tooLarge.site.name}" [${tooLarge.site.outFeatures}, ${tooLarge.site.inFeatures}] has, and the adapter larger than the model; use --format merged, or train with --sharing sliced, which PEFT knows as VeRA`,
    );
  }
  const { rank: r, alpha } = folded.reduce((a, b) => (b.rank > a.rank ? b : a));
  const others = folded.filter((layer) => layer.rank !== r || layer.alpha !== alpha);
  const patternOf = (value: "rank" | "alpha") =>
    Object.fromEntries(others.map((layer) => [siteName(base, layer.site), layer[value]]));
  const layers = new Map<string, Tensor<"float32">>();
  for (const { site, A, B } of folded) {
    layers.set(`${siteName(base, site)}.lora_A.weight`, A);
    layers.set(`${siteName(base, site)}.lora_B.weight`, B);
  }
  const config = {
    peft_type: "LORA",
    r,
    lora_alpha: alpha,
    lora_dropout: 0,
    rank_pattern: patternOf("rank"),
    alpha_pattern: patternOf("alpha"),
    use_rslora: false,
    use_dora: false,
  };
  return { config, layers };
}

function adaloraForm(
  base: BaseModel,
  { methodOptions }: AdapterDescription,
  parameters: Tensors<"float32">,
  sites: readonly LinearSite[],
): PeftForm {
  const { rank, alpha } = methodOptions as { rank: number; alpha: number };
  const initialRank = (methodOptions.initialRank as number | undefined) ?? Math.round(1.5 * rank);
  const rankPattern: Record<string, boolean[]> = {};
  const layers = new Map<string, Tensor<"float32">>();
  for (const site of sites) {
    const [A, E, B] = ["A", "E", "B"].map((part) => parameters.get(`${site.name}.${part}`)!.data) as [
      Float32Array,
      Float32Array,
      Float32Array,
    ];
    const kept = Array.from(E, (value) => value !== 0);
    // PEFT has no layers without any rank: a direction whose entry is 0 adds nothing.
    if (!kept.includes(true)) kept[0] = true;
    const count = kept.filter(Boolean).length;
    const name = siteName(base, site);
    rankPattern[`${name}.lora_E`] = kept;
    const set = (part: string, shape: number[], values: Float32Array) =>
      layers.set(`${name}.${part}`, float32(shape, values));
    set(
      "lora_A",
      [count, site.inFeatures],
      A.filter((_, i) => kept[Math.floor(i / site.inFeatures)]),
    );
    set(
      "lora_E",
      [count, 1],
      E.filter((_, i) => kept[i]),
    );
    set(
      "lora_B",
      [site.outFeatures, count],
      B.filter((_, i) => kept[i % initialRank]),
    );
  }
  const config = {
    peft_type: "ADALORA",
    init_r: initialRank,
    target_r: rank,
    lora_alpha: alpha,
    lora_dropout: 0,
    rank_pattern: rankPattern,
    // The ranks are final: a schedule without steps, in the only form that PEFT accepts.
    tinit: 0,
    tfinal: 0,
    total_step: 1,
  };
  return { config, layers };
}

function veraForm(
  base: BaseModel,
  { methodOptions }: AdapterDescription,
  parameters: Tensors<"float32">,
  sites: readonly LinearSite[],
): PeftForm {
  const rank = methodOptions.rank as number;
  const parameter = (name: string): Tensor<"float32"> => parameters.get(name)!;
  const layers = new Map<string, Tensor<"float32">>();
  for (const site of sites) {
    layers.set(`${siteName(base, site)}.vera_lambda_d`, parameter(`${site.name}.d`));
    layers.set(`${siteName(base, site)}.vera_lambda_b`, parameter(`${site.name}.b`));
  }
  return {
    config: { peft_type: "VERA", r: rank, vera_dropout: 0, projection_prng_key: 0, save_projection: true },
    layers,
    shared: new Map([
      ["vera_A", parameter("shared.A")],
      ["vera_B", parameter("shared.B")],
    ]),
  };
}

const siteName = (base: BaseModel, { name }: LinearSite): string => fullName(base, { name, part: "backbone" });

/** Ends of names, such as `attention.self.query`, where they name the adapted layers and no others; else whole names. */
function targetModules(base: BaseModel, sites: readonly LinearSite[]): string[] {
  const ends = [...new Set(sites.map(({ name }) => name.replace(/^.*?\.\d+\./, "")))];
  const adapted = new Set(sites.map(({ name }) => name));
  const modules = [...base.trace.weights.keys()].map((name) => name.replace(/\.\w+$/, ""));
  const exact = modules.every(
    (module) => adapted.has(module) || !ends.some((end) => module === end || module.endsWith(`.${end}`)),
  );
  return (exact ? ends : sites.map((site) => siteName(base, site))).sort();
}

/**
 * The head's modules that PEFT must keep whole: those with something in the adapter, and those that PEFT keeps whatever
 * is said (it matches `classifier` with the end of each name).
 */
function headToSave(
  base: BaseModel,
  parameters: Tensors<"float32">,
): { modules: string[]; tensors: Map<string, Tensor<"float32">> } {
  const weights = [...base.trace.weights.values()].filter(({ part }) => part === "head");
  const moduleOf = (name: string): string => name.slice(0, name.indexOf("."));
  const saved = new Set(weights.filter(({ name }) => parameters.has(name)).map(({ name }) => moduleOf(name)));
  for (const { name } of weights) if (moduleOf(name).endsWith("classifier")) saved.add(moduleOf(name));
  const tensors = weights
    .filter(({ name }) => saved.has(moduleOf(name)))
    .map((weight) => {
      const tensor = parameters.get(weight.name) ?? base.weights.get(weight.name)!;
      return [fullName(base, weight), tensor] as const;
    });
  return { modules: [...saved].sort(), tensors: new Map(tensors) };
}

function readmeOf(base: BaseModel, { task, method }: AdapterDescription): string {
  const names = labelNames(task);
  const { autoClass: auto, readme } = findTaskKind(task.kind).huggingFace;
  return `# ${task.name}: adapter for ${publicName(base)}

Trained with aflora (method ${method}); loads with Hugging Face PEFT:

\`\`\`python
from transformers import ${auto}
from peft import PeftModel

base = ${auto}.from_pretrained("${publicName(base)}", num_labels=${names.length})
model = PeftModel.from_pretrained(base, "path/of/this/folder")
\`\`\`

${readme.outputs(names)}
`;
}
