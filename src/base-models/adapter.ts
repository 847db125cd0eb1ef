import { z } from "zod";
import { BASE_FORMATS } from "../architectures/base-format.ts";
import { HEAD_FEATURES } from "../architectures/heads.ts";
import type { ModelFiles } from "../checkpoints/model-files.ts";
import { openSafetensors, safetensorsBytes } from "../checkpoints/safetensors.ts";
import { readTensors } from "../checkpoints/tensor-source.ts";
import { UserError } from "../errors.ts";
import { readText } from "../files/byte-source.ts";
import type { Tensors } from "../graph/tensor.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { type Novelty, noveltyScale } from "../training/novelty/novelty.ts";

/** Schema of `adapter.json`. */
export const adapterSchema = z.object({
  format: z.literal("aflora-adapter"),
  /** Name or folder of the base model; for a model on the hub `owner/name`, with its commit as revision. */
  model: z.string(),
  revision: z.string().optional(),
  /** SHA-256 of each file of a base model in a folder; undefined in adapters that a page trained. */
  modelFiles: z.record(z.string(), z.string()).optional(),
  modelType: z.string(),
  /** Storage format of the base model in training (default: float32). */
  base: z.enum(BASE_FORMATS).optional(),
  method: z.string(),
  methodOptions: z.record(z.string(), z.unknown()),
  task: z.object({
    name: z.string(),
    /** Name of the kind of task. */
    kind: z.string(),
    labels: z.array(z.string()),
    metrics: z.array(z.string()),
    /** Features that the head reads (default: those of the model's family). */
    features: z.enum(HEAD_FEATURES).optional(),
    /** Options of the kind of task, such as its loss. */
    options: z.record(z.string(), z.unknown()).optional(),
  }),
  maxLength: z.int().positive(),
  /** Temperature by which the head's last layer was divided to calibrate its probabilities; undefined if it was not. */
  temperature: z.number().positive().optional(),
  /** Accuracy of the most confident validation predictions, by falling probability, for a choice of one class. */
  confidence: z.array(z.object({ probability: z.number(), kept: z.int(), right: z.int() })).optional(),
  /** Whether the adapter was finally trained again on all rows, so that held-out rows no longer measure it. */
  refit: z.boolean().optional(),
  /** Scores that identify texts unlike those of all classes, with the tensors in `novelty.safetensors`. */
  novelty: noveltyScale.optional(),
});

/** Content of `adapter.json`: the task of an adapter and the settings of its layers. */
export type AdapterDescription = Omit<z.output<typeof adapterSchema>, "novelty">;

/** An adapter: the parameters trained on a base model, not merged into it, and the head. */
export interface Adapter {
  description: AdapterDescription;
  parameters: Tensors<"float32">;
  /** Data that identify texts unlike those of all classes. */
  novelty?: Novelty | undefined;
}

export const ADAPTER_WEIGHTS = "adapter.safetensors";
const NOVELTY_WEIGHTS = "novelty.safetensors";
export const ADAPTER_DESCRIPTION = "adapter.json";
export const ADAPTER_FILES = [ADAPTER_DESCRIPTION, ADAPTER_WEIGHTS, NOVELTY_WEIGHTS] as const;

export function adapterTensors({ parameters, novelty }: Adapter): Record<string, Tensors<"float32">> {
  return { [ADAPTER_WEIGHTS]: parameters, ...(novelty && { [NOVELTY_WEIGHTS]: novelty.tensors }) };
}

export function describedAdapter({ description, novelty }: Adapter): z.output<typeof adapterSchema> {
  if (!novelty) return description;
  const { tensors, ...scale } = novelty;
  return { ...description, novelty: scale };
}

/**
 * Contents of the files of an adapter folder, by name.
 * @example
 * ```ts
 * const files = adapterBytes(finished!.adapter);
 * ```
 */
export function adapterBytes(adapter: Adapter): Record<string, Uint8Array<ArrayBuffer>> {
  const files = Object.entries(adapterTensors(adapter)).map(([name, tensors]) => [name, safetensorsBytes(tensors)]);
  return {
    ...Object.fromEntries(files),
    [ADAPTER_DESCRIPTION]: new TextEncoder().encode(`${JSON.stringify(describedAdapter(adapter), null, 2)}\n`),
  };
}

/**
 * Reads an adapter from its files.
 * @throws UserError if they are not an adapter, are damaged, or name an unknown kind of task.
 * @example
 * ```ts
 * const adapter = await readAdapter(urlFiles("https://example.org/adapters/tickets"));
 * ```
 */
export async function readAdapter(files: ModelFiles): Promise<Adapter> {
  const { location } = files;
  const file = await files.open(ADAPTER_DESCRIPTION);
  if (!file) {
    throw new UserError(
      `${location} is not an adapter folder: it has no ${ADAPTER_DESCRIPTION}; give the folder of a run that has finished, or its adapter folder`,
    );
  }
  const text = await readText(file);
  let read: z.output<typeof adapterSchema>;
  try {
    read = adapterSchema.parse(JSON.parse(text));
  } catch {
    throw new UserError(`${file.location} is damaged; train again or restore it from a copy`);
  }
  const { novelty: scale, ...description } = read;
  findTaskKind(description.task.kind, file.location);
  const stored = await files.open(ADAPTER_WEIGHTS);
  if (!stored) throw new UserError(`${location} has no ${ADAPTER_WEIGHTS}; train again or restore it from a copy`);
  const parameters = await readTensors(await openSafetensors(stored));
  return { description, parameters, ...(scale && { novelty: await readNovelty(files, scale, description) }) };
}

async function readNovelty(
  files: ModelFiles,
  scale: z.output<typeof noveltyScale>,
  { task }: AdapterDescription,
): Promise<Novelty> {
  const stored = await files.open(NOVELTY_WEIGHTS);
  const tensors: Tensors<"float32"> = stored ? await readTensors(await openSafetensors(stored)) : new Map();
  const [means, axes] = [tensors.get("means")?.shape, tensors.get("axes")?.shape];
  if (means?.length === 2 && means[0] === task.labels.length && axes?.length === 2 && axes[1] === means[1]) {
    return { ...scale, tensors };
  }
  throw new UserError(
    `${files.location}: ${NOVELTY_WEIGHTS} is missing or damaged; train again or restore it from a copy`,
  );
}
