import { mkdir, readdir, readFile, rename, rm, stat, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import { promisify } from "node:util";
import { gunzip, gzip } from "node:zlib";
import { z } from "zod";
import { UserError } from "../../errors.ts";
import { HIDDEN_STATES, REPORT, RUN_FILES } from "../../runs/run-folder.ts";
import { REPORTED, TRIAL_TIME } from "../run-study.ts";

/** Files and folders of a run that travel; a page can be made of them again. */
const PARTS = [...RUN_FILES.filter((name) => name !== REPORT && name !== HIDDEN_STATES), REPORTED, TRIAL_TIME];

/** Names of files that a pack may hold: nothing outside of the run's folder can be written by one. */
const NAME = /^(?:[\w-]+\.jsonl?|(?:checkpoints|adapter)\/[\w-]+\.(?:json|safetensors))$/;

/** A value of Redis or Valkey holds 512 MB; what a full fine-tuning leaves is more. */
const MOST = 500e6;
/** Bytes that a pack may come to, unpacked. */
const MOST_UNPACKED = 4e9;

const header = z.array(z.object({ name: z.string().regex(NAME), size: z.int().nonnegative() })).min(1);

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
 * Writes a packed run in place of what a folder holds: all of it or nothing.
 * @throws UserError where the bytes are no packed run.
 */
export async function unpackRun(packed: Buffer, directory: string): Promise<void> {
  const bytes = await promisify(gunzip)(packed, { maxOutputLength: MOST_UNPACKED }).catch(() => refuse());
  const start = 4 + (bytes.length >= 4 ? bytes.readUInt32LE(0) : 0);
  if (bytes.length < start) refuse();
  const files = header.safeParse(parsed(bytes.subarray(4, start).toString()));
  if (!files.success) refuse();
  const folder = `${directory}.unpacking`;
  await rm(folder, { recursive: true, force: true });
  let at = start;
  for (const { name, size } of files.data!) {
    if (at + size > bytes.length) refuse();
    await mkdir(dirname(join(folder, name)), { recursive: true });
    await writeFile(join(folder, name), bytes.subarray(at, at + size));
    at += size;
  }
  await rm(directory, { recursive: true, force: true });
  await rename(folder, directory);
}

function refuse(): never {
  throw new UserError("what the queue's server holds as a result is no packed run; is it another program's server?");
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
