import { UserError } from "../errors.ts";
import type { BaseModel } from "../model/base-model.ts";
import { loadBaseModel } from "../model/load-base-model-node.ts";
import { type BaseOptions, openAdapter } from "../model/open-adapter-node.ts";
import { untunedAdapter } from "../model/untuned-adapter-node.ts";
import { nodeRuntime } from "../runtime/runtime-node.ts";
import type { Runtime } from "../runtime/session.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { formatToAnswer } from "./answering-format-node.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";

/**
 * Loads the adapter of a run folder, or an adapter folder (aflora's or Hugging Face PEFT's), and its base model.
 * @param options `writes`: whether the model generates text, for which a base of few bits is suitable (default: as its task)
 * @throws UserError if either is missing or damaged, the base model's files changed, or they do not fit.
 */
export async function loadFineTunedModel(
  directory: string,
  runtime: Runtime = nodeRuntime(),
  options: BaseOptions & { writes?: boolean | undefined } = {},
): Promise<FineTunedModel> {
  const adapter = await openAdapter(directory, options);
  const { model, revision, modelFiles, task, base: trained } = adapter.description;
  // With another model given on purpose, its files are not checked.
  const recorded =
    options.model === undefined ? { fileHashes: modelFiles, whose: `the adapter in ${directory}` } : undefined;
  const { writes = writesTexts(task), base: asked, ...from } = options;
  const format = asked ?? formatToAnswer({ trained, writes, packs: runtime.packs });
  const base = await loadBaseModel(model, task, 0, { ...from, format, recorded, ...(revision && { revision }) });
  return FineTunedModel.adapt(base, adapter, runtime);
}

/** Whether the kind of task generates text. */
export const writesTexts = ({ kind }: { kind: string }): boolean => findTaskKind(kind).head === "languageModel";

/** Selects a run, an adapter, or an untuned model. */
export interface AskedModel {
  run?: string | undefined;
  adapter?: string | undefined;
  /** An untuned model, or the base model that replaces the one that the adapter names. */
  model?: string | undefined;
}

/**
 * Loads the model of a run or an adapter or, without these, an untuned model.
 * @param kind name of the kind of task for an untuned model (default: its own)
 * @throws UserError if nothing is named, or both a run and an adapter are; and like {@link loadFineTunedModel}.
 */
export async function loadAskedModel(
  { run, adapter, model }: AskedModel,
  runtime: Runtime,
  { kind, ...options }: Omit<BaseOptions, "model"> & { kind?: string | undefined } = {},
): Promise<FineTunedModel> {
  if (run !== undefined && adapter !== undefined) throw new UserError("give either --run DIR or --adapter DIR");
  const directory = run ?? adapter;
  if (directory !== undefined) return loadFineTunedModel(directory, runtime, { ...options, model });
  if (model === undefined) throw new UserError("give --run DIR or --adapter DIR, or --model NAME for a model as it is");
  const untuned = await untunedAdapter(model, { ...options, kind });
  const writes = writesTexts(untuned.description.task);
  const format = options.base ?? formatToAnswer({ writes, packs: runtime.packs });
  const base = await loadBaseModel(model, untuned.description.task, 0, { ...options, format });
  refuseNewWeights(base);
  return FineTunedModel.adapt(base, untuned, runtime);
}

/** An untuned model must have all weights: newly initialized ones would give random answers. @throws UserError if it lacks some */
export function refuseNewWeights({ name, newWeights }: Pick<BaseModel, "name" | "newWeights">): void {
  if (newWeights.length === 0) return;
  const missing = newWeights.map((weight) => weight.name).join(", ");
  throw new UserError(`${name} cannot answer as it is: it has no weights ${missing}; train it first`);
}
