import { cp, readFile, rm, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { fileURLToPath } from "node:url";
import type { TensorToWrite } from "../../src/checkpoints/safetensors.ts";
import { openSafetensorsFile, writeSafetensors } from "../../src/checkpoints/safetensors-node.ts";

const BUNDLED = fileURLToPath(new URL("../../assets/all-MiniLM-L6-v2", import.meta.url));

/**
 * Writes the bundled encoder with its first two blocks alone in place of what a folder holds: for tests that try all
 * that is around a model, and train in a third of the time.
 */
export async function writeSmallEncoder(directory: string): Promise<void> {
  await rm(directory, { recursive: true, force: true });
  await cp(BUNDLED, directory, { recursive: true, filter: (path) => !path.endsWith(".safetensors") });
  const config = JSON.parse(await readFile(join(BUNDLED, "config.json"), "utf8"));
  await writeFile(join(directory, "config.json"), JSON.stringify({ ...config, num_hidden_layers: 2 }));
  const source = await openSafetensorsFile(join(BUNDLED, "model.safetensors"));
  const kept = [...source.tensors.keys()].filter((name) => !/layer\.[2-9]\./.test(name));
  const tensors = new Map<string, TensorToWrite>();
  for (const name of kept) tensors.set(name, { ...(await source.read(name)), storedAs: "F16" });
  await writeSafetensors(join(directory, "model.safetensors"), tensors);
}
