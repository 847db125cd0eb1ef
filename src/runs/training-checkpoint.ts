import { access, mkdir } from "node:fs/promises";
import { dirname } from "node:path";
import { openSafetensorsFile, writeSafetensors } from "../checkpoints/safetensors-node.ts";
import { readTensors } from "../checkpoints/tensor-source.ts";
import { UserError } from "../errors.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { TrainingState } from "../training/training-state.ts";

/** Groups of tensors in a checkpoint, by the prefix of their names. */
const PARTS = ["parameters", "best", "optimizer", "method"] as const;

/** Name of the scalar part in the file's metadata. */
const SCALARS = "aflora";

/** Writes a training state as one safetensors file, whole or not at all: the rest as metadata. */
export async function saveTrainingState(path: string, state: TrainingState): Promise<void> {
  const { parameters, best, optimizer, method, ...scalars } = state;
  const tensors: Record<(typeof PARTS)[number], Tensors<"float32"> | undefined> = {
    parameters,
    best: best?.parameters,
    optimizer: optimizer.tensors,
    method: method?.tensors,
  };
  const written = new Map<string, Tensor<"float32">>();
  for (const part of PARTS) {
    for (const [name, tensor] of tensors[part] ?? []) written.set(`${part}:${name}`, tensor);
  }
  const plain = { ...scalars, bestEpoch: best?.epoch, optimizer: optimizer.scalars, method: method?.scalars };
  await mkdir(dirname(path), { recursive: true });
  await writeSafetensors(path, written, { [SCALARS]: JSON.stringify(plain) });
}

/**
 * Reads a training state back.
 * @throws UserError where there is none or it is damaged.
 */
export async function loadTrainingState(path: string): Promise<TrainingState> {
  const exists = await access(path).then(
    () => true,
    () => false,
  );
  if (!exists)
    throw new UserError(`there is nothing to resume from: ${path} does not exist; run again with --overwrite`);
  const source = await openSafetensorsFile(path);
  const text = source.metadata?.[SCALARS];
  if (text === undefined) throw new UserError(`${path} is no training checkpoint; run again with --overwrite`);
  const { bestEpoch, optimizer, method, ...scalars } = JSON.parse(text);
  const read = await readTensors(source);
  const part = (prefix: (typeof PARTS)[number]): Tensors<"float32"> =>
    new Map(
      [...read]
        .filter(([name]) => name.startsWith(`${prefix}:`))
        .map(([name, tensor]) => [name.slice(prefix.length + 1), tensor]),
    );
  return {
    ...scalars,
    parameters: part("parameters"),
    ...(bestEpoch !== undefined && { best: { epoch: bestEpoch, parameters: part("best") } }),
    optimizer: { scalars: optimizer, tensors: part("optimizer") },
    ...(method && { method: { scalars: method, tensors: part("method") } }),
  };
}
