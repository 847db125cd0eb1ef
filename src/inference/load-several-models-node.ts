import { basename, resolve } from "node:path";
import type { Adapter, AdapterDescription } from "../base-models/adapter.ts";
import { type LoadedBaseModel, loadBaseModel } from "../base-models/load-base-model-node.ts";
import { type BaseOptions, openAdapter } from "../base-models/open-adapter-node.ts";
import { untunedAdapter } from "../base-models/untuned-adapter-node.ts";
import { opt, UserError } from "../errors.ts";
import type { Runtime } from "../runtime/session.ts";
import { AdapterHost } from "./adapter-host.ts";
import { formatToAnswer } from "./answering-format-node.ts";
import type { FineTunedModel } from "./fine-tuned-model.ts";
import { writesTexts } from "./load-fine-tuned-model-node.ts";

/** Name of the runs' base model; if there are several, prefix of their names. */
const BASE = "base";

export interface SeveralModels {
  /** Run folders or adapter folders, each named after its folder. */
  runs?: readonly string[];
  /** Untuned models, each named after its folder or file. With runs, at most one, which replaces their base model. */
  models?: readonly string[];
  /** Whether to add the runs' base model, as "base"; if there are several, each as "base-" and its name. */
  withBase?: boolean | undefined;
}

export interface LoadedModels {
  readonly models: ReadonlyMap<string, FineTunedModel>;
  /** Frees the models; a process must not exit before. */
  release(): Promise<void>;
}

/**
 * Loads adapters and untuned models. Those with the same base model share it in memory.
 * @throws UserError if nothing is named, two have the same name, or one is missing, damaged or does not fit its base model.
 */
export async function loadSeveralModels(
  asked: SeveralModels,
  options: Omit<BaseOptions, "model">,
  runtime: Runtime,
): Promise<LoadedModels> {
  const named = await namedAdapters(asked, options);
  const hosts: AdapterHost[] = [];
  const release = async (): Promise<void> => {
    for (const host of hosts) await host.release();
  };
  try {
    for (const key of new Set([...named.values()].map(({ description }) => keyOf(description)))) {
      const over = [...named].filter(([, { description }]) => keyOf(description) === key);
      const base = await loadBase(over, !asked.models?.length, options, runtime);
      const host = new AdapterHost(base, runtime);
      hosts.push(host);
      for (const [name, adapter] of over) {
        await host.add(name, adapter, { alone: over.length === 1 });
        const { kind } = host.use(name);
        if (kind.reads !== undefined)
          throw new UserError(`"${name}" reads ${kind.reads}, but requests hold texts; ask it with aflora predict`);
      }
    }
  } catch (error) {
    await release();
    throw error;
  }
  const models = hosts.flatMap((host) => host.names.map((name) => [name, host.use(name)] as const));
  return { models: new Map(models), release };
}

async function namedAdapters(
  { runs = [], models = [], withBase }: SeveralModels,
  options: Omit<BaseOptions, "model">,
): Promise<Map<string, Adapter>> {
  if (runs.length + models.length === 0)
    throw new UserError(`give ${opt("run")} DIR, or ${opt("model")} NAME to serve a model without training`);
  if (runs.length > 0 && models.length > 1) {
    throw new UserError(`with ${opt("run")}, give ${opt("model")} once: it replaces the runs' base model`);
  }
  if (withBase && runs.length === 0) throw new UserError(`${opt("withBase")} requires ${opt("run")}; leave it out`);
  const named = new Map<string, Adapter>();
  const add = (name: string, adapter: Adapter): void => {
    if (named.has(name)) {
      throw new UserError(
        `two models have the name "${name}", by which requests select them; rename the folder or file of one`,
      );
    }
    named.set(name, adapter);
  };
  for (const run of runs) add(basename(resolve(run)), await openAdapter(run, { ...options, model: models[0] }));
  if (runs.length === 0) for (const model of models) add(nameOf(model), await untunedAdapter(model, options));
  const bases = withBase ? basesOf(named) : [];
  for (const { model, revision } of bases) {
    const adapter = await untunedAdapter(model, { ...options, ...(revision && { revision }) });
    add(bases.length === 1 ? BASE : `${BASE}-${nameOf(model)}`, adapter);
  }
  return named;
}

const nameOf = (model: string): string => basename(resolve(model), ".gguf");

const keyOf = ({ model, revision }: AdapterDescription): string => JSON.stringify([model, revision]);

const basesOf = (named: ReadonlyMap<string, Adapter>): AdapterDescription[] => [
  ...new Map([...named.values()].map(({ description }) => [keyOf(description), description])).values(),
];

function loadBase(
  over: readonly (readonly [string, Adapter])[],
  isOwn: boolean,
  options: Omit<BaseOptions, "model">,
  { packs }: Runtime,
): Promise<LoadedBaseModel> {
  const { model, revision, base: trained } = over[0]![1].description;
  const writes = over.every(([, { description }]) => writesTexts(description.task));
  const format = options.base ?? formatToAnswer({ trained, writes, packs });
  const [whose, known] = over.find(([, { description }]) => description.modelFiles) ?? [];
  const recorded = isOwn && known ? { fileHashes: known.description.modelFiles, whose: `"${whose}"` } : undefined;
  return loadBaseModel(model, undefined, 0, { ...options, format, recorded, ...(revision && { revision }) });
}
