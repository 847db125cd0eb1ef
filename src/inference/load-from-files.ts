import type { BaseFormat } from "../architectures/base-format.ts";
import { ADAPTER_DESCRIPTION, readAdapter } from "../base-models/adapter.ts";
import { openBaseModel, readBaseModel } from "../base-models/base-model.ts";
import { adapterOfUntuned } from "../base-models/untuned-adapter.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { UserError, withCode } from "../errors.ts";
import { readAll } from "../files/byte-source.ts";
import type { Runtime } from "../runtime/session.ts";
import { FineTunedModel } from "./fine-tuned-model.ts";
import { openExported } from "./open-exported.ts";

export interface FilesToLoad {
  /** Files of an adapter's base model. An exported folder needs none. */
  model?: ModelFiles | undefined;
  /** Storage format of an adapter's base model (default: float32). */
  base?: BaseFormat | undefined;
}

/**
 * Loads a fine-tuned model from its files: those of a run or an adapter with its base model, or those of an exported folder.
 * @throws UserError if files are missing or damaged, or adapter and base model do not fit
 */
export const loadFromFiles = (files: ModelFiles, runtime: Runtime, parts: FilesToLoad = {}): Promise<FineTunedModel> =>
  withCode("invalid-model", modelOf(files, runtime, parts));

async function modelOf(
  files: ModelFiles,
  runtime: Runtime,
  { model, base: format = "float32" }: FilesToLoad,
): Promise<FineTunedModel> {
  const folder = await adapterFolder(files);
  if (folder) {
    const adapter = await readAdapter(folder);
    if (!model) {
      throw new UserError(
        `the adapter in ${files.location} is for the base model ${adapter.description.model}; give that model's files as "model", or export the run as a whole model (aflora export --format onnx)`,
      );
    }
    const { task } = adapter.description;
    return FineTunedModel.adapt(await readBaseModel(model, task, 0, { format }), adapter, runtime);
  }
  const exported = await openExported(files, runtime, readAll);
  if (exported) return exported;
  const opened = await openBaseModel(files);
  const untuned = adapterOfUntuned(files.location, opened);
  const base = await opened.read(untuned.description.task, 0, format);
  return FineTunedModel.adapt(base, untuned, runtime);
}

/** Folder of the adapter among these files, which is that of a run; undefined if they are a whole model. */
async function adapterFolder(files: ModelFiles): Promise<ModelFiles | undefined> {
  if (await files.open(ADAPTER_DESCRIPTION)) return files;
  const inRun: ModelFiles = { location: files.location, open: (name) => files.open(`adapter/${name}`) };
  return (await inRun.open(ADAPTER_DESCRIPTION)) && inRun;
}
