import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import { fileSource } from "../checkpoints/file-source-node.ts";
import { type HubOptions, resolveModel } from "../checkpoints/hub-node.ts";
import { readJsonFile } from "../checkpoints/json-file-node.ts";
import { readFolderConfig } from "../checkpoints/model-folder-node.ts";
import { openPickle } from "../checkpoints/pickle-node.ts";
import { openSafetensorsFile } from "../checkpoints/safetensors-node.ts";
import { readTensors } from "../checkpoints/tensor-source.ts";
import { UserError } from "../errors.ts";
import type { Adapter, AdapterDescription } from "../finetuning/adapter.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { HeadName, LinearSite } from "../models/architecture.ts";
import { describeModel, type ModelDescription } from "../models/families.ts";
import { traceModel } from "../models/trace.ts";
import { headOfPeftTask, recognizeHead } from "../tasks/task-kinds.ts";
import { BUNDLED_MODEL, BUNDLED_ON_HUB, modelDirectory } from "./load-base-model.ts";

/** Name of the file by which an adapter folder of Hugging Face PEFT is told. */
export const PEFT_CONFIG = "adapter_config.json";

const positive = z.int().positive();
const common = z.looseObject({
  base_model_name_or_path: z.string().nullish(),
  /** The base model's. */
  revision: z.string().nullish(),
  task_type: z.string().nullish(),
  bias: z.string().default("none"),
});

const loraSchema = common.extend({
  peft_type: z.literal("LORA"),
  r: positive,
  lora_alpha: z.number().positive(),
  use_rslora: z.boolean().default(false),
  rank_pattern: z.record(z.string(), positive).nullish(),
  alpha_pattern: z.record(z.string(), z.number().positive()).nullish(),
});

const schema = z.discriminatedUnion("peft_type", [
  loraSchema,
  common.extend({ peft_type: z.literal("VERA"), r: positive }),
  common.extend({
    peft_type: z.literal("ADALORA"),
    init_r: positive,
    target_r: positive,
    lora_alpha: z.number().positive(),
    rank_pattern: z.record(z.string(), z.array(z.boolean())).nullish(),
  }),
]);

type PeftConfig = z.output<typeof schema>;

/** Settings that change what an adapter computes without a tensor of their own by which they would be noticed. */
const UNSUPPORTED = [
  "use_dora",
  "lora_bias",
  "use_qalora",
  "use_bdlora",
  "alora_invocation_tokens",
  "layer_replication",
  "arrow_config",
] as const;

/** An adapter's tensors by the layer that they belong to, and the head's by their names in the model. */
interface Parts {
  layers: Map<LinearSite, Map<string, string>>;
  head: Map<string, string>;
  /** Tensors that belong to no layer: VeRA's shared projections. */
  shared: Map<string, string>;
}

/** An adapter's tensors as PEFT keeps them, and where they are, for error messages. */
type Stored = { location: string; tensors: Tensors<"float32"> };

/** What a PEFT adapter comes to in aflora's terms. */
interface Translated {
  method: string;
  options: Record<string, unknown>;
  parameters: Map<string, Tensor<"float32">>;
}

/**
 * Reads a LoRA, VeRA or AdaLoRA adapter that Hugging Face PEFT wrote, for a base model. Ranks and alphas that differ
 * from layer to layer come out as the largest rank, the smaller ones filled with zeros, and a scale of 1.
 * @param model the base model; the one that the adapter names where absent
 * @throws UserError where the folder is damaged, the adapter has something that aflora cannot compute, or the base
 * model does not fit it (layer and shapes named).
 */
export async function readPeftAdapter(
  directory: string,
  { model, ...hub }: { model?: string | undefined } & HubOptions = {},
): Promise<Adapter> {
  const config = await readConfig(directory);
  const named = model ?? config.base_model_name_or_path;
  const name = named === BUNDLED_ON_HUB ? BUNDLED_MODEL : named;
  const revision = (model === undefined && config.revision) || undefined;
  if (!name) throw new UserError(`${join(directory, PEFT_CONFIG)} names no base model; give it with --model`);
  const source = await readWeights(directory);
  const raw = await readFolderConfig(
    name === BUNDLED_MODEL ? modelDirectory(name) : await resolveModel(name, { ...hub, revision }),
  );
  const base = describeModel(raw);
  const head = headOfPeftTask(config.task_type);
  const labelCount = labelCountIn(source, base, head);
  const trace = traceModel(base, labelCount, head);
  const headNames = [...trace.weights.values()].filter(({ part }) => part === "head").map((weight) => weight.name);
  const parts = sortTensors(source, base, name, trace.sites, headNames);
  const translated = TRANSLATE[config.peft_type](config as never, parts, source, name);
  for (const [own, stored] of parts.head) {
    checkShape(source, stored, trace.weights.get(own)!.shape as number[], name);
    translated.parameters.set(own, source.tensors.get(stored)!);
  }
  const adapted = trace.sites.filter((site) => parts.layers.has(site));
  const description: AdapterDescription = {
    format: "aflora-adapter",
    model: name,
    ...(revision !== undefined && { revision }),
    modelType: base.config.modelType,
    method: translated.method,
    methodOptions: {
      ...translated.options,
      ...(adapted.length < trace.sites.length && { targetModules: adapted.map((site) => site.name) }),
    },
    task: taskOf(labelCount, head, raw),
    maxLength: base.config.maxLength,
  };
  return { description, parameters: translated.parameters };
}

async function readConfig(directory: string): Promise<PeftConfig> {
  const path = join(directory, PEFT_CONFIG);
  const raw = await readJsonFile(path);
  if (raw === undefined)
    throw new UserError(`${directory} is no adapter of Hugging Face PEFT: it has no ${PEFT_CONFIG}`);
  const result = schema.safeParse(raw);
  if (!result.success) {
    const [issue] = result.error.issues;
    const type = (raw as { peft_type?: unknown }).peft_type;
    throw new UserError(
      issue!.path[0] === "peft_type"
        ? `${path}: adapters of type ${type} are not supported; LORA, VERA and ADALORA are`
        : `${path}: "${issue!.path.join(".")}": ${issue!.message}`,
    );
  }
  const config = result.data;
  const unsupported = UNSUPPORTED.find((key) => config[key]);
  if (unsupported) throw new UserError(`${path}: adapters with "${unsupported}" are not supported`);
  if (config.bias !== "none") {
    throw new UserError(`${path}: adapters with trained biases ("bias": "${config.bias}") are not supported`);
  }
  return config;
}

async function readWeights(directory: string): Promise<Stored> {
  const pickled = join(directory, "adapter_model.bin");
  const path = join(directory, "adapter_model.safetensors");
  const isPickle = !existsSync(path) && existsSync(pickled);
  const source = isPickle ? await openPickle(await fileSource(pickled)) : await openSafetensorsFile(path);
  return { location: source.location, tensors: await readTensors(source) };
}

/** A tensor's name in the model: without what PEFT puts before it and, where it is there, the family's prefix. */
function plainName(stored: string, { architecture }: ModelDescription): string {
  const inModel = stored.replace(/^base_model\.(model\.)?/, "");
  return inModel.startsWith(`${architecture.prefix}.`) ? inModel.slice(architecture.prefix.length + 1) : inModel;
}

/** Rows of the head's last layer; the base model's own number of labels where the adapter has no head. */
function labelCountIn(source: Stored, base: ModelDescription, head: HeadName): number {
  const { labelCount } = base.config;
  const last = `${traceModel(base, labelCount, head).classifier}.weight`;
  const stored = [...source.tensors].find(([name]) => plainName(name, base) === last);
  return stored?.[1].shape[0] ?? labelCount;
}

function sortTensors(
  source: Stored,
  base: ModelDescription,
  baseName: string,
  sites: readonly LinearSite[],
  headNames: readonly string[],
): Parts {
  const siteOf = new Map(sites.map((site) => [site.name, site]));
  const parts: Parts = { layers: new Map(), head: new Map(), shared: new Map() };
  for (const stored of source.tensors.keys()) {
    const name = plainName(stored, base);
    const [, layer, part] = /^(.*)\.(lora_[ABE]|vera_lambda_[bd])(?:\.weight)?$/.exec(name) ?? [];
    if (headNames.includes(name)) parts.head.set(name, stored);
    else if (/^vera_[AB]$/.test(name)) parts.shared.set(name, stored);
    else if (layer === undefined) {
      throw new UserError(`${source.location}: tensor "${stored}" is nothing that aflora can compute`);
    } else {
      const site = siteOf.get(layer);
      if (!site) {
        throw new UserError(
          `the adapter ${source.location} does not fit base model ${baseName}: it adapts "${layer}", but the layers that can be adapted there are named like ${sites[0]!.name}`,
        );
      }
      const known = parts.layers.get(site) ?? new Map<string, string>();
      parts.layers.set(site, known.set(part!, stored));
    }
  }
  return parts;
}

function checkShape(source: Stored, stored: string, expected: readonly number[], baseName: string): void {
  const found = source.tensors.get(stored)!.shape;
  if (found.join() === expected.join()) return;
  throw new UserError(
    `the adapter ${source.location} does not fit base model ${baseName}: "${stored}" is [${found.join(", ")}], but should be [${expected.join(", ")}]`,
  );
}

/** A tensor of a layer, of the shape that it must have. */
function readPart(
  source: Stored,
  site: LinearSite,
  tensors: ReadonlyMap<string, string>,
  part: string,
  shape: readonly number[],
  baseName: string,
): Tensor<"float32"> {
  const stored = tensors.get(part);
  if (stored === undefined) throw new UserError(`${source.location} is damaged: layer "${site.name}" has no ${part}`);
  checkShape(source, stored, shape, baseName);
  return source.tensors.get(stored)!;
}

const TRANSLATE: {
  [Type in PeftConfig["peft_type"]]: (
    config: Extract<PeftConfig, { peft_type: Type }>,
    parts: Parts,
    source: Stored,
    baseName: string,
  ) => Translated;
} = {
  LORA(config, { layers }, source, baseName) {
    const read = [...layers].map(([site, tensors]) => {
      const fullName = tensors.get("lora_A") ?? site.name;
      const rank = patternValue(config.rank_pattern, fullName) ?? config.r;
      const alpha = patternValue(config.alpha_pattern, fullName) ?? config.lora_alpha;
      return {
        site,
        rank,
        scale: alpha / (config.use_rslora ? Math.sqrt(rank) : rank),
        A: readPart(source, site, tensors, "lora_A", [rank, site.inFeatures], baseName),
        B: readPart(source, site, tensors, "lora_B", [site.outFeatures, rank], baseName),
      };
    });
    const rank = Math.max(...read.map((layer) => layer.rank));
    const even = read.every((layer) => layer.rank === rank && layer.scale === read[0]!.scale);
    const parameters = new Map<string, Tensor<"float32">>();
    for (const { site, rank: own, scale, A, B } of read) {
      parameters.set(`${site.name}.A`, even ? A : spreadRows(A, range(own), rank));
      parameters.set(`${site.name}.B`, even ? B : spreadColumns(B, range(own), rank, scale));
    }
    return { method: "lora", options: { rank, alpha: even ? read[0]!.scale * rank : rank }, parameters };
  },

  VERA(config, { layers, shared }, source, baseName) {
    const [storedA, storedB] = [shared.get("vera_A"), shared.get("vera_B")];
    if (storedA === undefined || storedB === undefined) {
      throw new UserError(
        `${source.location} has no vera_A and vera_B, and only PyTorch can draw them again; save the adapter with save_projection=True`,
      );
    }
    const sites = [...layers.keys()];
    checkShape(source, storedA, [config.r, Math.max(...sites.map(({ inFeatures }) => inFeatures))], baseName);
    checkShape(source, storedB, [Math.max(...sites.map(({ outFeatures }) => outFeatures)), config.r], baseName);
    const parameters = new Map([
      ["shared.A", source.tensors.get(storedA)!],
      ["shared.B", source.tensors.get(storedB)!],
    ]);
    for (const [site, tensors] of layers) {
      parameters.set(`${site.name}.d`, readPart(source, site, tensors, "vera_lambda_d", [config.r], baseName));
      parameters.set(`${site.name}.b`, readPart(source, site, tensors, "vera_lambda_b", [site.outFeatures], baseName));
    }
    return { method: "elora", options: { rank: config.r, sharing: "sliced" }, parameters };
  },

  ADALORA(config, { layers }, source, baseName) {
    const initialRank = config.init_r;
    const parameters = new Map<string, Tensor<"float32">>();
    for (const [site, tensors] of layers) {
      const { inFeatures, outFeatures } = site;
      const pattern = Object.entries(config.rank_pattern ?? {}).find(([key]) =>
        tensors.get("lora_E")?.endsWith(`.${key}`),
      );
      const kept = range(initialRank).filter((i) => pattern?.[1][i] ?? true);
      const part = (name: string, shape: number[]) => readPart(source, site, tensors, name, shape, baseName);
      const A = part("lora_A", [kept.length, inFeatures]);
      const E = part("lora_E", [kept.length, 1]);
      const B = part("lora_B", [outFeatures, kept.length]);
      parameters.set(`${site.name}.A`, spreadRows(A, kept, initialRank));
      parameters.set(`${site.name}.E`, spreadRows(E, kept, initialRank));
      parameters.set(`${site.name}.B`, spreadColumns(B, kept, initialRank, 1));
    }
    const rank = Math.min(config.target_r, initialRank - 1);
    return { method: "adalora", options: { rank, initialRank, alpha: config.lora_alpha }, parameters };
  },
};

/** A layer's own value, as PEFT finds it: the first pattern that the end of its name matches. */
function patternValue(patterns: Readonly<Record<string, number>> | null | undefined, stored: string) {
  const module = stored.replace(/^base_model\.model\./, "").replace(/\.lora_A(\.weight)?$/, "");
  return Object.entries(patterns ?? {}).find(([pattern]) => new RegExp(`^(.*\\.)?(${pattern})$`).test(module))?.[1];
}

const range = (count: number): number[] => Array.from({ length: count }, (_, i) => i);

/** Rows put where they were among `count`, zeros elsewhere. */
function spreadRows({ shape, data }: Tensor<"float32">, places: readonly number[], count: number): Tensor<"float32"> {
  const width = shape[1]!;
  const spread = float32([count, width]);
  places.forEach((place, i) => {
    spread.data.set(data.subarray(i * width, (i + 1) * width), place * width);
  });
  return spread;
}

/** Columns put where they were among `count`, zeros elsewhere, all times `scale`. */
function spreadColumns(
  { shape, data }: Tensor<"float32">,
  places: readonly number[],
  count: number,
  scale: number,
): Tensor<"float32"> {
  const rows = shape[0]!;
  const spread = float32([rows, count]);
  for (let row = 0; row < rows; row++) {
    places.forEach((place, i) => {
      spread.data[row * count + place] = data[row * places.length + i]! * scale;
    });
  }
  return spread;
}

/** PEFT keeps no labels: their names are the base model's where it has as many. */
function taskOf(
  labelCount: number,
  head: HeadName,
  raw: { id2label?: Record<string, string> | undefined; problem_type?: string | null | undefined },
): AdapterDescription["task"] {
  const known = Object.keys(raw.id2label ?? {}).length === labelCount ? raw.id2label : undefined;
  const outputs = range(labelCount).map((i) => known?.[i] ?? `LABEL_${i}`);
  const { kind, labels } = recognizeHead(head, outputs, raw.problem_type);
  return { name: "custom", kind: kind.name, labels, metrics: [...kind.defaultMetrics] };
}
