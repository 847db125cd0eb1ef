import { existsSync } from "node:fs";
import { join } from "node:path";
import { ADAPTER_DESCRIPTION } from "../base-models/adapter.ts";
import { loadBaseModel, openModel, resolveModelFolder } from "../base-models/load-base-model-node.ts";
import { type BaseOptions, openAdapter, tunedModelFolder } from "../base-models/open-adapter-node.ts";
import { PEFT_CONFIG } from "../base-models/peft/peft-files.ts";
import { adapterOfUntuned } from "../base-models/untuned-adapter.ts";
import { modelFiles } from "../checkpoints/model-folder-node.ts";
import { opt, UserError, withCode } from "../errors.ts";
import { readJsonFile } from "../files/json-file-node.ts";
import { nodeRuntime, type RuntimePlace } from "../runtime/runtime-node.ts";
import { Runtime } from "../runtime/session.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { formatToAnswer } from "./answering-format-node.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";
import { openExported } from "./open-exported.ts";

/** Options of a loaded model. */
export interface LoadOptions extends BaseOptions {
  /** Whether the model generates text, for which a base of few bits is suitable (default: whether its task does). */
  writes?: boolean | undefined;
}

export async function loadFineTunedModel(
  name: string,
  place: Runtime | RuntimePlace = {},
  options: LoadOptions = {},
): Promise<FineTunedModel> {
  const runtime = place instanceof Runtime ? place : nodeRuntime(place);
  return withCode("invalid-model", loadNamedModel(name, runtime, options));
}

async function loadNamedModel(name: string, runtime: Runtime, options: LoadOptions): Promise<FineTunedModel> {
  const directory = await tunedModelFolder(name, options);
  if (options.model === undefined && (await isWholeModel(directory)))
    return loadWholeModel(directory, runtime, options);
  const adapter = await openAdapter(directory, options);
  const { model, revision, modelFiles, task, base: trained } = adapter.description;
  // With another model given on purpose, its files are not checked.
  const recorded =
    options.model === undefined ? { fileHashes: modelFiles, whose: `the adapter in ${name}` } : undefined;
  const { writes = writesTexts(task), base: asked, ...from } = options;
  const format = asked ?? formatToAnswer({ trained, writes, packs: runtime.packs });
  const base = await loadBaseModel(model, task, 0, { ...from, format, recorded, ...(revision && { revision }) });
  return FineTunedModel.adapt(base, adapter, runtime);
}

/** Whether a folder or file is a whole model, as `merged` and `onnx` export it, rather than a run or an adapter. */
async function isWholeModel(path: string): Promise<boolean> {
  if (path.endsWith(".onnx")) return true;
  if ([ADAPTER_DESCRIPTION, PEFT_CONFIG].some((file) => existsSync(join(path, file)))) return false;
  // A run's config.json has its options.
  const config = await readJsonFile(join(path, "config.json"));
  return typeof config === "object" && config !== null && "model_type" in config;
}

/** Loads a model as it is. @param kind name of its kind of task (default: its own) @throws UserError if it lacks weights */
async function loadWholeModel(
  model: string,
  runtime: Runtime,
  { kind, writes: asked, base: given, ...hub }: Omit<LoadOptions, "model"> & { kind?: string | undefined },
): Promise<FineTunedModel> {
  const exported =
    kind === undefined && given === undefined
      ? await openExported(await modelFiles(await resolveModelFolder(model, hub)), runtime, ({ location }) => location)
      : undefined;
  if (exported) return exported;
  const opened = await openModel(model, hub);
  const untuned = adapterOfUntuned(model, opened, { kind, revision: hub.revision });
  const { task } = untuned.description;
  const format = given ?? formatToAnswer({ writes: asked ?? writesTexts(task), packs: runtime.packs });
  const base = await opened.read(task, 0, format);
  return FineTunedModel.adapt(base, untuned, runtime);
}

/** Whether the kind of task generates text. */
export const writesTexts = ({ kind }: { kind: string }): boolean => findTaskKind(kind).writing !== undefined;

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
  if (run !== undefined && adapter !== undefined)
    throw new UserError(`give either ${opt("run")} DIR or ${opt("adapter")} DIR`);
  const directory = run ?? adapter;
  if (directory !== undefined) return loadFineTunedModel(directory, runtime, { ...options, model });
  if (model === undefined)
    throw new UserError(
      `give ${opt("run")} DIR or ${opt("adapter")} DIR, or ${opt("model")} NAME to use a model without training`,
    );
  return withCode("invalid-model", loadWholeModel(model, runtime, { ...options, kind }));
}
