import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import type { List } from "../tasks/list.ts";

const count = z.int().nonnegative();
const examplesSchema = z.object({
  /** Number of training examples. */
  train: count,
  /** Number of examples of each validation split. */
  validation: z.record(z.string(), count),
  /** How the validation examples were drawn; undefined if the data have their own. */
  heldOut: z.object({ fraction: z.number(), seed: z.number() }).optional(),
  /** Hashes of all examples in any order and split, and of the validation examples. */
  sha256: z.object({ all: z.string(), validation: z.string() }),
});

export const dataFingerprintSchema = z.object({
  /** SHA-256 of each local file, by its absolute path. */
  files: z.record(z.string(), z.string()).optional(),
  /** Commit of a data set on the hub. */
  revision: z.string().optional(),
  /** SHA-256 of each file of the base model, if it is a folder. */
  model: z.record(z.string(), z.string()).optional(),
  /** The examples as they were read and split. */
  examples: examplesSchema,
});

/** Identifies a run's data, so that a later reading can be checked against it. */
export type DataFingerprint = z.output<typeof dataFingerprintSchema>;

/** Returns the fingerprint of a task that was just read. */
export async function fingerprintOf(task: TaskData): Promise<DataFingerprint> {
  const { origin: { files, revision } = {}, train, validation, heldOut } = task;
  const hashes: Record<string, string> = {};
  for (const file of files ?? []) hashes[resolve(file)] = await hashOf(file);
  const held = validation.map(({ name, examples }) => ({ name, digests: digestsOf(examples, task) }));
  const all = Buffer.concat([digestsOf(train, task), ...held.map(({ digests }) => digests)]);
  return {
    ...(files && { files: hashes }),
    ...(revision !== undefined && { revision }),
    examples: {
      train: train.length,
      validation: Object.fromEntries(validation.map(({ name, examples }) => [name, examples.length])),
      ...(heldOut && { heldOut }),
      sha256: {
        all: sortedHash(all),
        validation: sha256(held.map(({ name, digests }) => `${name}:${digests.toString("hex")}`).join("\n")),
      },
    },
  };
}

/** Bytes of a SHA-256. */
const DIGEST = 32;

/** Hashes the content of each example, independent of its position; classes count by name. @returns `[examples, DIGEST]` */
function digestsOf(examples: List<Example>, { kind, labels: names }: TaskData): Buffer {
  const named = (label: number): unknown => names[label] ?? label;
  const digests = Buffer.alloc(examples.length * DIGEST);
  let end = 0;
  for (const { index, place, label, labels, picture, sound, ...said } of examples) {
    const target = label === undefined ? labels?.map(named) : named(label);
    const content = JSON.stringify([kind, Object.entries(said).sort(), target]);
    end += createHash("sha256").update(content).digest().copy(digests, end);
  }
  return digests;
}

/** Hash of all digests in ascending order, in hexadecimal. */
function sortedHash(digests: Buffer): string {
  const at = (i: number): Buffer => digests.subarray(i * DIGEST, (i + 1) * DIGEST);
  const order = Uint32Array.from({ length: digests.length / DIGEST }, (_, i) => i);
  // Numbers of six bytes compare faster than a million pairs of buffers.
  const heads = Float64Array.from(order, (i) => digests.readUIntBE(i * DIGEST, 6));
  const hash = createHash("sha256");
  for (const i of order.sort((a, b) => heads[a]! - heads[b]! || at(a).compare(at(b))))
    hash.update(at(i).toString("hex"));
  return hash.digest("hex");
}

/** Returns the SHA-256 of a text in hexadecimal. */
export const sha256 = (text: string): string => createHash("sha256").update(text).digest("hex");

/**
 * Checks that local files have not changed since a run began.
 * @param whose the owner of the files and `remedy` the advice, for the error message
 * @throws UserError naming the file that is gone or changed.
 */
export async function refuseOtherData({ files = {} }: DataFingerprint, whose: string, remedy: string): Promise<void> {
  for (const [file, hash] of Object.entries(files)) {
    const found = await hashOf(file).catch((error: NodeJS.ErrnoException) => {
      if (error.code === "ENOENT" || error.code === "ENOTDIR") return undefined;
      throw new UserError(`cannot read ${file}: ${error.message}`);
    });
    if (found === hash) continue;
    const what = found === undefined ? "is missing, which held" : "is not";
    throw new UserError(`${file} ${what} the data that ${whose} began with; ${remedy}`);
  }
}

/** Checks that a folder has no new files since a run began. @throws UserError naming one */
export function refuseNewFiles({ origin }: Pick<TaskData, "origin">, { files = {} }: DataFingerprint): void {
  const added = origin?.files?.find((file) => !(resolve(file) in files));
  if (added === undefined) return;
  throw new UserError(`${added} was not there when the run began; move it away or start a new run`);
}

/** Returns the SHA-256 of a file in hexadecimal. */
export async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(file)) hash.update(bytes);
  return hash.digest("hex");
}
