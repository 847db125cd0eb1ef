import { constants } from "node:fs";
import { open, rename, rm, stat } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { Redis } from "ioredis";
import { BUNDLED_MODEL } from "../../base-models/bundled-model.ts";
import { type LoadedBaseModel, modelDirectory } from "../../base-models/load-base-model-node.ts";
import { refuseOtherFiles } from "../../checkpoints/file-hashes-node.ts";
import { folderFiles } from "../../checkpoints/file-source-node.ts";
import { HUB_NAME } from "../../checkpoints/hub-node.ts";
import { COMMIT } from "../../checkpoints/hub-repository-node.ts";
import { modelFiles } from "../../checkpoints/model-folder-node.ts";
import { UserError } from "../../errors.ts";
import { makeFolder } from "../../files/atomic-file-node.ts";
import { sha256 } from "../../preparation/data-fingerprint-node.ts";
import { messageBytes, parsedJson, readMessage } from "./message.ts";
import { keysOf, LIFE, PIECE, pieceSchema, type RunOrder, wantedSchema } from "./protocol.ts";

/** Seconds that a worker waits for a piece before it asks again, and the number of attempts. */
const PIECE_WAIT = 30;
const PIECE_TRIES = 10;

/** Size and hash of each file of a base model, by name; undefined for a model of the hub. */
export async function describeFiles(base: LoadedBaseModel): Promise<RunOrder["files"]> {
  const hashes = await base.fileHashes?.();
  if (!hashes) return undefined;
  const files: NonNullable<RunOrder["files"]> = {};
  for (const [name, hash] of Object.entries(hashes)) {
    files[name] = { size: (await base.files.open(name))!.size, sha256: hash };
  }
  return files;
}

/**
 * Sends workers the pieces of the base model's files that they request, until the connection closes.
 * @param waiting a separate connection
 */
export async function sendFiles(waiting: Redis, client: Redis, id: string, base: LoadedBaseModel): Promise<void> {
  const keys = keysOf(id);
  const known = new Set(Object.keys((await base.fileHashes?.()) ?? {}));
  for (;;) {
    const asked = await waiting.blpop(keys.wanted, 0).catch(() => undefined);
    if (!asked) return;
    const { worker, file, start } = wantedSchema.safeParse(parsedJson(asked[1])).data ?? {};
    if (worker === undefined || file === undefined || start === undefined || !known.has(file)) continue;
    try {
      const bytes = await (await base.files.open(file))!.read(start, start + PIECE);
      const place = keys.pieces(worker);
      const piece = new Map([["bytes", { dtype: "uint8" as const, shape: [bytes.length], data: bytes }]]);
      await client.multi().rpush(place, messageBytes({ file, start }, piece)).expire(place, LIFE).exec();
    } catch {
      // The worker asks again, or reports that it leaves.
    }
  }
}

export interface BasePlace {
  /** Folder of the worker for base models. */
  directory: string;
  worker: string;
  /** Connection for blocking reads. */
  waiting: Redis;
  client: Redis;
  signal: AbortSignal;
}

/**
 * Finds what `loadBaseModel` must read for a run's base: a name on the hub, the bundled model, or a folder of this worker.
 * Missing files of that folder come from the coordinator. Files are identified by hash; no path of the order is read.
 */
export async function findBase(id: string, order: RunOrder, place: BasePlace): Promise<string> {
  const { adapter, files } = order;
  if (!files) {
    if (HUB_NAME.test(adapter.model) && COMMIT.test(adapter.revision ?? "")) return adapter.model;
    throw new UserError("its base model is neither of the hub nor sent with it");
  }
  const hashes = Object.fromEntries(Object.entries(files).map(([name, { sha256 }]) => [name, sha256]));
  if (adapter.model === BUNDLED_MODEL && (await isSame(modelDirectory(BUNDLED_MODEL), hashes))) return BUNDLED_MODEL;
  const folder = join(place.directory, "models", sha256(JSON.stringify(Object.entries(hashes).sort())).slice(0, 16));
  for (const [name, { size }] of Object.entries(files)) await fetchFile(id, name, size, join(folder, name), place);
  try {
    await refuseOtherFiles(folderFiles(folder), hashes, "the run");
  } catch (error) {
    await rm(folder, { recursive: true, force: true });
    throw error;
  }
  return folder;
}

const isSame = async (folder: string, hashes: Readonly<Record<string, string>>): Promise<boolean> =>
  refuseOtherFiles(await modelFiles(folder), hashes, "the run").then(
    () => true,
    () => false,
  );

/** Resumes an earlier download. Workers that share the folder write the same bytes to the same places. */
async function fetchFile(id: string, name: string, size: number, path: string, place: BasePlace): Promise<void> {
  const bytesOf = async (): Promise<number | undefined> => (await stat(path).catch(() => undefined))?.size;
  if ((await bytesOf()) === size) return;
  await makeFolder(dirname(path));
  const part = `${path}.part`;
  const file = await open(part, constants.O_RDWR | constants.O_CREAT);
  try {
    for (let start = (await file.stat()).size; start < size; ) {
      const bytes = await fetchPiece(id, name, start, place);
      await file.write(bytes, 0, bytes.length, start);
      start += bytes.length;
    }
  } finally {
    await file.close();
  }
  await rename(part, path).catch(async (error: unknown) => {
    if ((await bytesOf()) !== size) throw error;
  });
}

async function fetchPiece(
  id: string,
  file: string,
  start: number,
  { worker, waiting, client, signal }: BasePlace,
): Promise<Uint8Array> {
  const keys = keysOf(id);
  const place = keys.pieces(worker);
  for (let tries = 0; tries < PIECE_TRIES; tries++) {
    await client.rpush(keys.wanted, JSON.stringify({ worker, file, start }));
    for (;;) {
      signal.throwIfAborted();
      const sent = (await waiting.blpopBuffer(place, PIECE_WAIT))?.[1];
      if (sent === undefined) break;
      const { facts, tensors } = readMessage(sent, pieceSchema) ?? {};
      const piece = tensors?.get("bytes");
      // Skips a piece that was requested twice.
      if (facts?.file === file && facts.start === start && piece?.dtype === "uint8" && piece.data.length > 0) {
        return piece.data as Uint8Array;
      }
    }
  }
  throw new UserError(`${file} of the base model does not come from the run's machine; is the run still there?`);
}
