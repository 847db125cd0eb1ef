import { createHash } from "node:crypto";
import { existsSync } from "node:fs";
import { join } from "node:path";
import { UserError } from "../errors.ts";
import type { ByteSource } from "../files/byte-source.ts";
import type { ModelFiles } from "./model-files.ts";

/** SHA-256 of a model's files, by their names; of a large one of its size and of pieces of it. */
export type FileHashes = Readonly<Record<string, string>>;

/** Pieces of a file that are hashed, and bytes of each: what is no larger than all of them is hashed whole. */
const PIECES = 64;
const PIECE = 4 * 2 ** 20;

/** Files that hash those of them that were read. */
export interface HashedFiles extends ModelFiles {
  /** Those on the disk that were opened so far, by name. */
  readonly opened: ReadonlyMap<string, ByteSource>;
  /** Hashes of the files that were opened so far. */
  hashes(): Promise<FileHashes>;
}

export function hashedFiles(files: ModelFiles): HashedFiles {
  const opened = new Map<string, ByteSource>();
  return {
    ...files,
    opened,
    async open(name) {
      const source = await files.open(name);
      // What a GGUF file's metadata are made into is no file, and follows from the one that is.
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
 * Checks that a model's files are still what they were.
 * @param whose what was trained on them, for the error message
 * @throws UserError naming the file that is gone or changed.
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
 * A hash of a file that costs little, however large it is: beyond 256 MB, pieces evenly spread over it stand for the whole.
 * Training changes every piece of a checkpoint.
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
