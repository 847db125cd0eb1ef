import { join } from "node:path";
import { folderFiles } from "../checkpoints/file-source-node.ts";
import { writeSafetensors } from "../checkpoints/safetensors-node.ts";
import { makeFolder } from "../files/atomic-file-node.ts";
import { writeJsonFile } from "../files/json-file-node.ts";
import { ADAPTER_DESCRIPTION, type Adapter, adapterTensors, describedAdapter, readAdapter } from "./adapter.ts";

export async function saveAdapter(directory: string, adapter: Adapter): Promise<void> {
  await makeFolder(directory);
  for (const [name, tensors] of Object.entries(adapterTensors(adapter))) {
    await writeSafetensors(join(directory, name), tensors);
  }
  await writeJsonFile(join(directory, ADAPTER_DESCRIPTION), describedAdapter(adapter));
}

/** Reads an adapter folder. */
export function loadAdapter(directory: string): Promise<Adapter> {
  return readAdapter(folderFiles(directory));
}
