import { mkdir, readFile } from "node:fs/promises";
import { join } from "node:path";
import { z } from "zod";
import { writeJsonFile } from "../checkpoints/json-file-node.ts";
import { openSafetensors, writeSafetensors } from "../checkpoints/safetensors.ts";
import { UserError } from "../errors.ts";
import { float32, type Tensors } from "../graph/tensor.ts";
import type { TaskData } from "../tasks/example.ts";

const adapterSchema = z.object({
  format: z.literal("aflora-adapter"),
  /** Name or folder of the base model; of one on the hub `owner/name`, with its commit as revision. */
  model: z.string(),
  revision: z.string().optional(),
  modelType: z.string(),
  method: z.string(),
  methodOptions: z.record(z.string(), z.unknown()),
  task: z.object({
    name: z.string(),
    kind: z.enum(["classification", "regression", "multi-label", "token-classification"]),
    labels: z.array(z.string()),
    metrics: z.array(z.string()),
  }),
  maxLength: z.int().positive(),
});

/** `adapter.json`: what an adapter is for and how its layers are computed. */
export interface AdapterDescription extends z.output<typeof adapterSchema> {
  task: Pick<TaskData, "name" | "kind" | "labels" | "metrics">;
}

/** An adapter: what was trained beside a base model, unfolded, and the head. */
export interface Adapter {
  description: AdapterDescription;
  parameters: Tensors<"float32">;
}

const WEIGHTS = "adapter.safetensors";
const DESCRIPTION = "adapter.json";

/** Writes an adapter folder, each file whole or not at all. */
export async function saveAdapter(directory: string, { description, parameters }: Adapter): Promise<void> {
  await mkdir(directory, { recursive: true });
  const tensors = [...parameters].map(([name, tensor]) => [name, { ...tensor, dtype: "F32" as const }] as const);
  await writeSafetensors(join(directory, WEIGHTS), new Map(tensors));
  await writeJsonFile(join(directory, DESCRIPTION), description);
}

/**
 * Reads an adapter folder.
 * @throws UserError where it is none, or damaged.
 */
export async function loadAdapter(directory: string): Promise<Adapter> {
  const path = join(directory, DESCRIPTION);
  let text: string;
  try {
    text = await readFile(path, "utf8");
  } catch {
    throw new UserError(
      `${directory} is no adapter folder: it has no ${DESCRIPTION}; give the folder of a run that has finished, or its adapter folder`,
    );
  }
  let description: AdapterDescription;
  try {
    description = adapterSchema.parse(JSON.parse(text)) as AdapterDescription;
  } catch {
    throw new UserError(`${path} is damaged; train again or restore it from a copy`);
  }
  const source = await openSafetensors(join(directory, WEIGHTS));
  const read = [...source.tensors].map(([name, { shape }]) => [name, float32(shape, source.read(name))] as const);
  return { description, parameters: new Map(read) };
}
