import { existsSync } from "node:fs";
import { join } from "node:path";
import { z } from "zod";
import type { KindHead } from "../../architectures/architecture.ts";
import type { ModelDescription } from "../../architectures/families.ts";
import type { LinearModule } from "../../architectures/model-parts.ts";
import { isPretrained, traceModel } from "../../architectures/trace.ts";
import { fileSource } from "../../checkpoints/file-source-node.ts";
import type { HubOptions } from "../../checkpoints/hub-repository-node.ts";
import { openPickle } from "../../checkpoints/pickle-node.ts";
import { openSafetensorsFile } from "../../checkpoints/safetensors-node.ts";
import { readTensors } from "../../checkpoints/tensor-source.ts";
import { inWords, opt, UserError } from "../../errors.ts";
import { readJsonFile } from "../../files/json-file-node.ts";
import type { Tensor, Tensors } from "../../graph/tensor.ts";
import type { MethodDefinition } from "../../methods/method.ts";
import { METHODS } from "../../methods/methods.ts";
import type { PeftAdapter, PeftReading } from "../../methods/peft.ts";
import { headOfPeftTask, recognizeHead } from "../../tasks/task-kinds.ts";
import type { Adapter, AdapterDescription } from "../adapter.ts";
import { BUNDLED_MODEL, BUNDLED_ON_HUB } from "../bundled-model.ts";
import { describeModelAt } from "../describe-model-node.ts";
import { resolveModelFolder } from "../load-base-model-node.ts";
import { PEFT_CONFIG, PEFT_PICKLE, PEFT_WEIGHTS } from "./peft-files.ts";

const common = z.looseObject({
  peft_type: z.string(),
  base_model_name_or_path: z.string().nullish(),
  revision: z.string().nullish(),
  task_type: z.string().nullish(),
  bias: z.string().default("none"),
});

/** Settings that change what an adapter computes without an additional tensor that would reveal them. */
const UNSUPPORTED = [
  "lora_bias",
  "use_qalora",
  "use_bdlora",
  "alora_invocation_tokens",
  "layer_replication",
  "arrow_config",
] as const;

interface Parts {
  layers: Map<LinearModule, StoredLayer>;
  head: Map<string, string>;
  shared: Map<string, string>;
}

interface StoredLayer {
  moduleName: string;
  parts: Map<string, string>;
}

interface Stored {
  location: string;
  tensors: Tensors<"float32">;
}

export async function readPeftAdapter(
  directory: string,
  { model, ...hub }: { model?: string | undefined } & HubOptions = {},
): Promise<Adapter> {
  const { method, reading, common: config, own } = await readConfig(directory);
  const named = model ?? config.base_model_name_or_path;
  const name = named === BUNDLED_ON_HUB ? BUNDLED_MODEL : named;
  const revision = (model === undefined && config.revision) || undefined;
  if (!name) throw new UserError(`${join(directory, PEFT_CONFIG)} names no base model; give it with ${opt("model")}`);
  const source = await readWeights(directory);
  const { raw, description: base } = await describeModelAt(await resolveModelFolder(name, { ...hub, revision }));
  const kind = headOfPeftTask(config.task_type);
  const labelCount = labelCountIn(source, base, kind);
  const trace = traceModel(base, labelCount, kind);
  const headNames = [...trace.weights.values()].filter(({ part }) => part === "head").map((weight) => weight.name);
  const parts = sortTensors(source, base, name, trace.modules, headNames, { ...reading, parts: reading.parts(own) });
  if (parts.layers.size === 0)
    throw new UserError(`${source.location} adapts no layer: it holds only a head, or nothing`);
  const translated = reading.read(own, adapterOf(parts, source, name));
  const head = [...parts.head].map(([weight, stored]) => {
    checkShape(source, stored, trace.weights.get(weight)!.shape as number[], name);
    return [weight, source.tensors.get(stored)!] as const;
  });
  const adapted = trace.modules.filter((module) => parts.layers.has(module));
  const description: AdapterDescription = {
    format: "aflora-adapter",
    model: name,
    ...(revision !== undefined && { revision }),
    modelType: base.config.modelType,
    method: method.name,
    methodOptions: {
      ...translated.options,
      ...(adapted.length < trace.modules.length && { targetModules: adapted.map((module) => module.name) }),
    },
    task: taskOf(labelCount, kind, raw, base),
    maxLength: base.config.maxLength,
  };
  return { description, parameters: new Map([...translated.parameters, ...head]) };
}

interface PeftConfig {
  method: MethodDefinition;
  reading: PeftReading;
  common: z.output<typeof common>;
  own: unknown;
}

async function readConfig(directory: string): Promise<PeftConfig> {
  const path = join(directory, PEFT_CONFIG);
  const raw = await readJsonFile(path);
  if (raw === undefined)
    throw new UserError(`${directory} is not an adapter of Hugging Face PEFT: it has no ${PEFT_CONFIG}`);
  const config = parseConfig(common, raw, path);
  const methods = METHODS.all.filter(({ peft }) => peft?.read);
  const method = methods.find(({ peft }) => peft!.read!.type === config.peft_type);
  if (!method) {
    const types = methods.map(({ peft }) => peft!.read!.type);
    throw new UserError(
      `${path}: adapters of type ${config.peft_type} are not supported; ${types.slice(0, -1).join(", ")} and ${types.at(-1)} are`,
    );
  }
  const reading = method.peft!.read!;
  const own = parseConfig(reading.config, raw, path);
  const unsupported = UNSUPPORTED.find((key) => config[key]);
  if (unsupported) throw new UserError(`${path}: adapters with "${unsupported}" are not supported`);
  if (config.bias !== "none") {
    throw new UserError(`${path}: adapters with trained biases ("bias": "${config.bias}") are not supported`);
  }
  return { method, reading, common: config, own };
}

function parseConfig<Schema extends z.ZodType>(schema: Schema, raw: unknown, path: string): z.output<Schema> {
  const result = schema.safeParse(raw, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`${path}: "${issue!.path.join(".")}": ${issue!.message}`);
}

async function readWeights(directory: string): Promise<Stored> {
  const pickled = join(directory, PEFT_PICKLE);
  const path = join(directory, PEFT_WEIGHTS);
  const isPickle = !existsSync(path) && existsSync(pickled);
  const source = isPickle ? await openPickle(await fileSource(pickled)) : await openSafetensorsFile(path);
  return { location: source.location, tensors: await readTensors(source) };
}

function plainName(stored: string, { architecture }: ModelDescription): string {
  const inModel = stored.replace(/^base_model\.(model\.)?/, "");
  return inModel.startsWith(`${architecture.prefix}.`) ? inModel.slice(architecture.prefix.length + 1) : inModel;
}

function labelCountIn(source: Stored, base: ModelDescription, head: KindHead): number {
  const { labelCount, vocabularySize } = base.config;
  if (isPretrained(head)) return vocabularySize;
  const last = `${traceModel(base, labelCount, head).classifier}.weight`;
  const stored = [...source.tensors].find(([name]) => plainName(name, base) === last);
  return stored?.[1].shape[0] ?? labelCount;
}

function sortTensors(
  source: Stored,
  base: ModelDescription,
  baseName: string,
  modules: readonly LinearModule[],
  headNames: readonly string[],
  { parts, shared }: { parts: readonly string[]; shared?: readonly string[] | undefined },
): Parts {
  const moduleOf = new Map(modules.map((module) => [module.name, module]));
  const layerPattern = new RegExp(`^(.*)\\.(${parts.join("|")})(?:\\.weight)?$`);
  const sorted: Parts = { layers: new Map(), head: new Map(), shared: new Map() };
  for (const stored of source.tensors.keys()) {
    const name = plainName(stored, base);
    const [, layer, part] = layerPattern.exec(name) ?? [];
    if (headNames.includes(name)) sorted.head.set(name, stored);
    else if (shared?.includes(name)) sorted.shared.set(name, stored);
    else if (layer === undefined) {
      throw new UserError(`${source.location}: tensor "${stored}" is not supported`);
    } else {
      const module = moduleOf.get(layer);
      if (!module) {
        throw new UserError(
          `the adapter ${source.location} does not fit base model ${baseName}: it adapts "${layer}", but the layers that can be adapted there are named like ${modules[0]!.name}`,
        );
      }
      const moduleName = layerPattern.exec(stored.replace(/^base_model\.(model\.)?/, ""))![1]!;
      const known = sorted.layers.get(module) ?? { moduleName, parts: new Map() };
      known.parts.set(part!, stored);
      sorted.layers.set(module, known);
    }
  }
  return sorted;
}

function adapterOf({ layers, shared }: Parts, source: Stored, baseName: string): PeftAdapter {
  const { location, tensors } = source;
  const take = (stored: string, shape: readonly number[]): Tensor<"float32"> => {
    checkShape(source, stored, shape, baseName);
    return tensors.get(stored)!;
  };
  return {
    location,
    layers: [...layers].map(([module, { moduleName, parts }]) => ({
      module,
      moduleName,
      tensor(part, shape) {
        const stored = parts.get(part);
        if (stored === undefined) throw new UserError(`${location} is damaged: layer "${module.name}" has no ${part}`);
        return take(stored, shape);
      },
    })),
    shared(name, shape) {
      const stored = shared.get(name);
      return stored === undefined ? undefined : take(stored, shape);
    },
  };
}

function checkShape(source: Stored, stored: string, expected: readonly number[], baseName: string): void {
  const found = source.tensors.get(stored)!.shape;
  if (found.join() === expected.join()) return;
  throw new UserError(
    `the adapter ${source.location} does not fit base model ${baseName}: "${stored}" is [${found.join(", ")}], but should be [${expected.join(", ")}]`,
  );
}

/** PEFT stores no labels: their names are the base model's, if it has the same number of labels. */
function taskOf(
  labelCount: number,
  head: KindHead,
  raw: { id2label?: Record<string, string> | undefined; problem_type?: string | null | undefined },
  { architecture }: ModelDescription,
): AdapterDescription["task"] {
  const known = Object.keys(raw.id2label ?? {}).length === labelCount ? raw.id2label : undefined;
  const outputs = Array.from({ length: labelCount }, (_, i) => known?.[i] ?? `LABEL_${i}`);
  const { kind, labels } = recognizeHead(head, outputs, raw.problem_type, architecture.kind);
  return { name: "custom", kind: kind.name, labels, metrics: [...kind.defaultMetrics] };
}
