import { createHash } from "node:crypto";
import { z } from "zod";
import { openSafetensorsFile, writeSafetensors } from "../checkpoints/safetensors-node.ts";
import { readTensors } from "../checkpoints/tensor-source.ts";
import { UserError } from "../errors.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { TrainingState } from "../training/training-state.ts";
import { type Machine, machineSchema } from "./machine.ts";

/** Groups of tensors in a checkpoint, by the prefix of their names. */
const PARTS = ["parameters", "best", "optimizer", "method"] as const;

/** Name of the scalar part in the file's metadata, and of the checksum over all. */
const SCALARS = "aflora";
const CHECKSUM = "sha256";

const amount = z.number().nonnegative();
/** JSON has no NaN: a correlation that is none is written as null. */
const measured = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const evaluation = z.object({
  kind: z.literal("evaluation"),
  metrics: z.record(z.string(), measured),
  loss: measured,
  step: amount,
  epoch: amount,
});
const scalarsSchema = z.object({
  step: z.int().nonnegative(),
  tokens: amount,
  flops: amount,
  trainableAtStart: amount,
  trainableSum: amount,
  seconds: amount,
  stepSeconds: z.array(amount),
  evaluations: z.array(evaluation),
  frozenAtStep: z.record(z.string(), amount),
  bestEpoch: amount.optional(),
  optimizer: z.object({ steps: z.record(z.string(), amount) }),
  method: z.record(z.string(), z.unknown()).optional(),
  machine: machineSchema.optional(),
});

/** A state of training as a file holds it. */
export interface Checkpoint {
  state: TrainingState;
  /** Where it was computed; runs of earlier versions do not say. */
  machine?: Machine | undefined;
}

/** Writes a checkpoint as one safetensors file, whole or not at all: tensors, the rest as metadata, and a checksum of all. */
export async function writeCheckpoint(path: string, { state, machine }: Checkpoint): Promise<void> {
  const { parameters, best, optimizer, method, ...counted } = state;
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
  const plain = { ...counted, bestEpoch: best?.epoch, optimizer: optimizer.scalars, method: method?.scalars, machine };
  const scalars = JSON.stringify(plain);
  await writeSafetensors(path, written, { [SCALARS]: scalars, [CHECKSUM]: checksumOf(scalars, written) });
}

/**
 * Reads a checkpoint back.
 * @throws UserError where there is none or it is damaged.
 */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const source = await openSafetensorsFile(path);
  const { [SCALARS]: text, [CHECKSUM]: checksum } = source.metadata ?? {};
  if (text === undefined) throw new UserError(`${path} is no training checkpoint; run again with --overwrite`);
  const tensors = await readTensors(source);
  // Runs of earlier versions wrote none.
  if (checksum !== undefined && checksum !== checksumOf(text, tensors)) {
    throw new UserError(`${path} is damaged: its checksum is not that of its contents`);
  }
  const scalars = scalarsSchema.safeParse(parsed(text));
  if (!scalars.success) throw new UserError(`${path} is damaged: its counters are none`);
  const { bestEpoch, optimizer, method, machine, ...counted } = scalars.data;
  const part = (prefix: (typeof PARTS)[number]): Tensors<"float32"> =>
    new Map(
      [...tensors]
        .filter(([name]) => name.startsWith(`${prefix}:`))
        .map(([name, tensor]) => [name.slice(prefix.length + 1), tensor]),
    );
  const state = {
    ...counted,
    parameters: part("parameters"),
    ...(bestEpoch !== undefined && { best: { epoch: bestEpoch, parameters: part("best") } }),
    optimizer: { scalars: optimizer, tensors: part("optimizer") },
    ...(method && { method: { scalars: method, tensors: part("method") } }),
  };
  return { state, machine };
}

function checksumOf(scalars: string, tensors: Tensors<"float32">): string {
  const hash = createHash("sha256").update(scalars);
  for (const [name, { shape, data }] of tensors) {
    hash.update(`\n${name} [${shape}]\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

/** Nothing where the text is no JSON. */
function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
