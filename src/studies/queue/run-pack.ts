import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, gzip } from "node:zlib";
import { z } from "zod";
import { UserError } from "../../errors.ts";
import { writeFailure } from "../../files/atomic-file-node.ts";
import { readJsonFile } from "../../files/json-file-node.ts";
import { HIDDEN_STATES, REPORT, RUN_FILES } from "../../runs/run-folder.ts";
import { namesCode } from "../../tasks/reward-functions.ts";
import { REPORTED } from "../reported-scores.ts";
import { TRIAL_TIME } from "../run-study.ts";

/** Files and folders of a run that travel; a page can be made of them again. */
const PARTS = [...RUN_FILES.filter((name) => name !== REPORT && name !== HIDDEN_STATES), REPORTED, TRIAL_TIME];

/** Names of files that a pack may hold: nothing outside of the run's folder can be written by one. */
const NAME = /^(?:[\w-]+\.jsonl?|(?:checkpoints|adapter)\/[\w-]+\.(?:json|safetensors))$/;

/** A value of Redis or Valkey holds 512 MB; what a full fine-tuning leaves is more. */
const MOST = 500e6;
/** Bytes that a pack may come to, unpacked; files that it may hold, and bytes of the list of them. */
const MOST_UNPACKED = 4e9;
const MOST_FILES = 100;
const MOST_NAMES = 2 ** 16;
/** Bytes that are unpacked at once. */
const PIECE = 2 ** 18;

const file = z.object({ name: z.string().regex(NAME), size: z.int().nonnegative() });
const header = z.array(file).min(1).max(MOST_FILES);

/**
 * A run's folder as bytes: the length of a JSON list of names and sizes (4 bytes, little-endian), that list, then the files
 * one after another, all of it compressed.
 * @throws UserError where it is too large to be kept by the queue's server.
 */
export async function packRun(directory: string): Promise<Buffer> {
  const names = (await Promise.all(PARTS.map((part) => filesOf(directory, part)))).flat();
  const contents = await Promise.all(names.map((name) => readFile(join(directory, name))));
  const list = Buffer.from(JSON.stringify(names.map((name, i) => ({ name, size: contents[i]!.length }))));
  const length = Buffer.alloc(4);
  length.writeUInt32LE(list.length);
  const packed = await promisify(gzip)(Buffer.concat([length, list, ...contents]), { level: 1 });
  if (packed.length <= MOST) return packed;
  throw new UserError(
    `the run in ${directory} is ${Math.round(packed.length / 1e6)} MB, more than a queue's server keeps (${MOST / 1e6} MB); choose a method with fewer trainable parameters`,
  );
}

/**
 * Writes a packed run in place of what a folder holds: all of it or nothing. It is unpacked piece by piece, straight to the disk.
 * @throws UserError where the bytes are no packed run, or the disk is full.
 */
export async function unpackRun(packed: Buffer, directory: string): Promise<void> {
  const folder = `${directory}.unpacking`;
  await rm(folder, { recursive: true, force: true });
  const bytes = new Unpacked(packed);
  try {
    const length = (await bytes.next(4)).readUInt32LE(0);
    if (length > MOST_NAMES) refuse();
    const files = header.safeParse(parsed((await bytes.next(length)).toString()));
    if (!files.success || files.data.reduce((sum, { size }) => sum + size, 0) > MOST_UNPACKED) refuse();
    for (const { name, size } of files.data!) {
      const path = join(folder, name);
      await mkdir(dirname(path), { recursive: true });
      await writeFile(path, bytes.pieces(size)).catch((error: unknown) => {
        throw writeFailure(path, error);
      });
    }
    if (!(await bytes.ended())) refuse();
    const config = (await readJsonFile(join(folder, "config.json"))) as Record<string, unknown> | undefined;
    if (namesCode(config ?? {})) throw new UserError(NO_CODE);
    await rm(directory, { recursive: true, force: true });
    await rename(folder, directory);
  } finally {
    bytes.release();
    await rm(folder, { recursive: true, force: true });
  }
}

/** What compressed bytes stand for, from the first to the last; never more of it in memory than a piece. */
class Unpacked {
  readonly #stream: Readable;
  readonly #pieces: AsyncIterator<Buffer>;
  #left: Buffer = Buffer.alloc(0);

  constructor(packed: Buffer) {
    this.#stream = Readable.from([packed]).pipe(createGunzip({ chunkSize: PIECE }));
    this.#pieces = this.#stream[Symbol.asyncIterator]();
  }

  /** Whether nothing comes any more. */
  async ended(): Promise<boolean> {
    while (this.#left.length === 0) {
      const { done, value } = await this.#pieces.next().catch(() => refuse());
      if (done) return true;
      this.#left = value;
    }
    return false;
  }

  /** So many bytes in pieces, as they come. */
  async *pieces(size: number): AsyncGenerator<Buffer> {
    for (let missing = size; missing > 0; ) {
      if (await this.ended()) refuse();
      const piece = this.#left.subarray(0, missing);
      this.#left = this.#left.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
  }

  /** So many bytes at once. */
  async next(size: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.pieces(size)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  release(): void {
    this.#stream.destroy();
  }
}

/** What is said of a trial whose reward is a file: whoever may write to a queue could name any that lies on a worker. */
export const NO_CODE =
  "a trial of a queue may not name a file to run (--reward); train it with aflora train, or use a reward of the package";

function refuse(): never {
  throw new UserError("a result on the queue's server is not a packed run; does another program use that server?");
}

function parsed(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch {
    return undefined;
  }
}

/** Names of a file, or of a folder's files, that are there. */
async function filesOf(directory: string, part: string): Promise<string[]> {
  const found = await stat(join(directory, part)).catch(() => undefined);
  if (!found) return [];
  if (!found.isDirectory()) return [part];
  return (await readdir(join(directory, part))).map((name) => `${part}/${name}`).filter((name) => NAME.test(name));
}
