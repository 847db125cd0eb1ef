import { createHash } from "node:crypto";
import { z } from "zod";
import { openSafetensorsFile, writeSafetensors } from "../checkpoints/safetensors-node.ts";
import { readTensors } from "../checkpoints/tensor-source.ts";
import { opt, UserError } from "../errors.ts";
import type { Tensors } from "../graph/tensor.ts";
import { restoreState, saveState } from "../training/saved-state.ts";
import type { TrainingState } from "../training/training-state.ts";
import { type Machine, machineSchema } from "./machine.ts";

/** Metadata keys of the file: the training state without its tensors as JSON, and the checksum of everything. */
const SCALARS = "aflora";
const CHECKSUM = "sha256";

const withMachine = z.object({ machine: machineSchema });

export interface Checkpoint {
  state: TrainingState;
  machine: Machine;
}

/** Writes a checkpoint as one safetensors file, atomically: tensors, and as metadata the other state and a checksum of all. */
export async function writeCheckpoint(path: string, { state, machine }: Checkpoint): Promise<void> {
  const { counters, tensors } = saveState(state);
  const scalars = JSON.stringify({ ...counters, machine });
  await writeSafetensors(path, tensors, { [SCALARS]: scalars, [CHECKSUM]: checksumOf(scalars, tensors) });
}

/** Reads a checkpoint. */
export async function readCheckpoint(path: string): Promise<Checkpoint> {
  const source = await openSafetensorsFile(path);
  const { [SCALARS]: text, [CHECKSUM]: checksum } = source.metadata ?? {};
  if (text === undefined)
    throw new UserError(`${path} is not a training checkpoint; run again with ${opt("overwrite")}`);
  const tensors = await readTensors(source);
  if (checksum !== checksumOf(text, tensors)) {
    throw new UserError(`${path} is damaged: its checksum does not match its contents`);
  }
  const scalars = parsed(text);
  const state = restoreState(scalars, tensors);
  const rest = withMachine.safeParse(scalars);
  if (!state || !rest.success) throw new UserError(`${path} is damaged: its counters are not valid`);
  return { state, machine: rest.data.machine };
}

function checksumOf(scalars: string, tensors: Tensors<"float32">): string {
  const hash = createHash("sha256").update(scalars);
  for (const [name, { shape, data }] of tensors) {
    hash.update(`\n${name} [${shape}]\n`).update(new Uint8Array(data.buffer, data.byteOffset, data.byteLength));
  }
  return hash.digest("hex");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}
