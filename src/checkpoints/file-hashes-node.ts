import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { ByteSource } from "../files/byte-source.ts";
import type { ModelFiles } from "./model-files.ts";

/** SHA-256 of a model's files by name; for a large file, of its size and of samples. */
export type FileHashes = Readonly<Record<string, string>>;

/** Number of samples and size of each in bytes. A file no larger than all samples together is hashed whole. */
const PIECES = 64;
const PIECE = 4 * 2 ** 20;

/** A model's files that record which were opened, and hash those. */
export interface HashedFiles extends ModelFiles {
  /** Files on the disk that were opened so far, by name. */
  readonly opened: ReadonlyMap<string, ByteSource>;
  /** Returns hashes of the files that were opened so far. */
  hashes(): Promise<FileHashes>;
}

export function hashedFiles(files: ModelFiles): HashedFiles {
  const opened = new Map<string, ByteSource>();
  return {
    ...files,
    opened,
    async open(name) {
      const source = await files.open(name);
      // Files derived from GGUF metadata are not on the disk; the GGUF file's hash covers them.
      if (source && existsSync(source.location)) opened.set(name, source);
      return source;
    },
    async hashes() {
      const hashes: Record<string, string> = {};
      for (const [name, source] of opened) hashes[name] = await hashOf(source);
      return hashes;
    },
  };
}

/**
 * Checks that a model's files have not changed.
 * @param whose adapter or run that was trained on them, for the error message
 * @throws UserError naming the file that is missing or changed.
 */
export async function refuseOtherFiles(files: ModelFiles, recorded: FileHashes, whose: string): Promise<void> {
  for (const [name, hash] of Object.entries(recorded)) {
    const source = await files.open(name);
    if (source && (await hashOf(source)) === hash) continue;
    const path = source?.location ?? join(files.location, name);
    const what = source ? "is not" : "is missing, which held";
    throw new UserError(`${path} ${what} the base model that ${whose} was trained on; restore it, or train again`);
  }
}

/**
 * Hashes a file at low cost. Above 256 MB, it hashes evenly spaced samples, because training changes every part of a
 * checkpoint.
 */
async function hashOf(source: ByteSource): Promise<string> {
  const { size } = source;
  const hash = createHash("sha256");
  if (size <= PIECES * PIECE) {
    for (let start = 0; start < size; start += PIECE) hash.update(await source.read(start, start + PIECE));
    return hash.digest("hex");
  }
  hash.update(String(size));
  for (let i = 0; i < PIECES; i++) {
    const start = Math.round((i * (size - PIECE)) / (PIECES - 1));
    hash.update(await source.read(start, start + PIECE));
  }
  return hash.digest("hex");
}
