import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { z } from "zod";
import { UserError } from "../errors.ts";
import type { DataOrigin } from "../tasks/example.ts";

export const dataFingerprintSchema = z.object({
  /** SHA-256 of each local file, by its path. */
  files: z.record(z.string(), z.string()).optional(),
  /** Commit of a data set on the hub. */
  revision: z.string().optional(),
});

/** What a run's examples were: a run that goes on must find the same ones. */
export type DataFingerprint = z.output<typeof dataFingerprintSchema>;

/** The fingerprint of data that were just read. */
export async function fingerprintOf({ files, revision }: DataOrigin): Promise<DataFingerprint> {
  const hashes: Record<string, string> = {};
  for (const file of files ?? []) hashes[file] = await hashOf(file);
  return { ...(files && { files: hashes }), ...(revision !== undefined && { revision }) };
}

/** @throws UserError where a local file is not what it was when the run in `directory` began. */
export function refuseOtherData(directory: string, before: DataFingerprint, now: DataFingerprint): void {
  const [old, found] = [before.files ?? {}, now.files ?? {}];
  const changed = Object.keys({ ...old, ...found }).find((file) => old[file] !== found[file]);
  if (changed === undefined) return;
  throw new UserError(
    `--resume: ${changed} is not the data that the run in ${directory} began with; restore the file or start a new run`,
  );
}

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(file)) hash.update(bytes);
  return hash.digest("hex");
}
