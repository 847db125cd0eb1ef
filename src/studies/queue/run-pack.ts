import { readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { Readable } from "node:stream";
import { promisify } from "node:util";
import { createGunzip, gzip } from "node:zlib";
import { z } from "zod";
import { opt, UserError } from "../../errors.ts";
import { makeFolder, writeFailure } from "../../files/atomic-file-node.ts";
import { readJsonFile } from "../../files/json-file-node.ts";
import { HIDDEN_STATES, REPORT, RUN_FILES } from "../../runs/run-folder.ts";
import { namesCode } from "../../tasks/reward-functions.ts";
import { REPORTED } from "../reported-scores.ts";
import { TRIAL_TIME } from "../run-study.ts";

/** Files and folders of a run to pack. A page can be written again from them. */
const PARTS = [...RUN_FILES.filter((name) => name !== REPORT && name !== HIDDEN_STATES), REPORTED, TRIAL_TIME];

/** Valid file names in a pack. A pack cannot write outside the run's folder. */
const NAME = /^(?:[\w-]+\.jsonl?|(?:checkpoints|adapter)\/[\w-]+\.(?:json|safetensors))$/;

/** Limit in bytes: a value of Redis or Valkey holds 512 MB. Full fine-tuning can leave more. */
const MOST = 500e6;
/** Limits of an unpacked pack: its bytes, its files, and the bytes of their list. */
const MOST_UNPACKED = 4e9;
const MOST_FILES = 100;
const MOST_NAMES = 2 ** 16;
/** Bytes that are unpacked at a time. */
const PIECE = 2 ** 18;

const file = z.object({ name: z.string().regex(NAME), size: z.int().nonnegative() });
const header = z.array(file).min(1).max(MOST_FILES);

/**
 * Packs a run's folder: the length of a JSON list of names and sizes (4 bytes, little-endian), that list, then the files in order,
 * all compressed.
 * @throws UserError if the pack is too large for the queue's server
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
 * Replaces the contents of a folder with a packed run, atomically. Unpacks piece by piece, straight to the disk.
 * @throws UserError if the bytes are no packed run, or the disk is full
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
      await makeFolder(dirname(path));
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

/** Decompresses bytes in order, with at most one piece in memory. */
class Unpacked {
  readonly #stream: Readable;
  readonly #pieces: AsyncIterator<Buffer>;
  #left: Buffer = Buffer.alloc(0);

  constructor(packed: Buffer) {
    this.#stream = Readable.from([packed]).pipe(createGunzip({ chunkSize: PIECE }));
    this.#pieces = this.#stream[Symbol.asyncIterator]();
  }

  /** Whether all bytes have been read. */
  async ended(): Promise<boolean> {
    while (this.#left.length === 0) {
      const { done, value } = await this.#pieces.next().catch(() => refuse());
      if (done) return true;
      this.#left = value;
    }
    return false;
  }

  /** The next `size` bytes, in pieces as they come. */
  async *pieces(size: number): AsyncGenerator<Buffer> {
    for (let missing = size; missing > 0; ) {
      if (await this.ended()) refuse();
      const piece = this.#left.subarray(0, missing);
      this.#left = this.#left.subarray(piece.length);
      missing -= piece.length;
      yield piece;
    }
  }

  /** The next `size` bytes at once. */
  async next(size: number): Promise<Buffer> {
    const pieces: Buffer[] = [];
    for await (const piece of this.pieces(size)) pieces.push(piece);
    return Buffer.concat(pieces);
  }

  release(): void {
    this.#stream.destroy();
  }
}

/** Error for a trial whose reward is a file: anybody with access to the queue could name any file of a worker. */
export const NO_CODE = `a trial of a queue may not name a file to run (${opt("reward")}); train it with aflora train, or use a reward of the package`;

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

/** Existing names of a file, or of the files in a folder. */
async function filesOf(directory: string, part: string): Promise<string[]> {
  const found = await stat(join(directory, part)).catch(() => undefined);
  if (!found) return [];
  if (!found.isDirectory()) return [part];
  return (await readdir(join(directory, part))).map((name) => `${part}/${name}`).filter((name) => NAME.test(name));
}
