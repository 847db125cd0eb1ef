import { describeModel, type ModelDescription } from "../architectures/families.ts";
import { type FolderConfig, readNetwork } from "../checkpoints/model-folder.ts";
import { modelFiles, readFolderConfig } from "../checkpoints/model-folder-node.ts";
import { processorFor } from "./media-reader.ts";

export interface DescribedModel {
  raw: FolderConfig;
  description: ModelDescription;
}

/** Describes a model by its folder, its file or only its config.json. */
export async function describeModelAt(path: string): Promise<DescribedModel> {
  const raw = await readFolderConfig(path);
  if (path.endsWith(".json")) return { raw, description: describeModel(raw) };
  const files = await modelFiles(path);
  const network = await readNetwork(files);
  return { raw, description: describeModel(raw, network, await processorFor(network, files)) };
}
