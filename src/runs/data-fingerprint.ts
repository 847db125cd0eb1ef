import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { UserError } from "../errors.ts";
import type { DataOrigin } from "../tasks/example.ts";

export const dataFingerprintSchema = z.object({
  /** SHA-256 of each local file, by its absolute path. */
  files: z.record(z.string(), z.string()).optional(),
  /** Commit of a data set on the hub. */
  revision: z.string().optional(),
});

/** What a run's examples were: whoever reads them again must find the same ones. */
export type DataFingerprint = z.output<typeof dataFingerprintSchema>;

/** The fingerprint of data that were just read. */
export async function fingerprintOf({ files, revision }: DataOrigin): Promise<DataFingerprint> {
  const hashes: Record<string, string> = {};
  for (const file of files ?? []) hashes[resolve(file)] = await hashOf(file);
  return { ...(files && { files: hashes }), ...(revision !== undefined && { revision }) };
}

/**
 * Checks that local files are still what they were when a run began.
 * @param whose what the files are for, and `remedy` what to do, for the error message
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

async function hashOf(file: string): Promise<string> {
  const hash = createHash("sha256");
  for await (const bytes of createReadStream(file)) hash.update(bytes);
  return hash.digest("hex");
}
