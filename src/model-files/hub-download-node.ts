import { createHash } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, mkdir, open, rename, rm, stat, symlink } from "node:fs/promises";
import { dirname, join, relative } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { UserError } from "../errors.ts";

/** How a download is getting on, over all files of one repository that are not in the cache yet. */
export interface DownloadProgress {
  /** The file that is being fetched. */
  file: string;
  /** Bytes on the disk, those of earlier tries included. */
  done: number;
  total: number;
  /** Mean over this run. */
  bytesPerSecond: number;
}

/** A file of a repository at one commit. */
export interface RemoteFile {
  path: string;
  size: number;
  /** SHA-256 of a large file, or Git's SHA-1 of a small one: what the hub calls its ETag, and the cache its blob. */
  hash: string;
  url: string;
}

/** Fetches a file; throws a UserError where the answer is final, another error where a second try may help. */
export type Request = (file: RemoteFile, headers: Record<string, string>) => Promise<Response>;

/** Tries in a row that bring no new byte, after which a download gives up. */
const MAX_FAILURES = 4;

/**
 * Fetches files into a repository's folder of the Hugging Face cache (`blobs/HASH`, and `snapshots/COMMIT/PATH` that
 * points there). What is there already is not fetched again; a file that broke off goes on where it stopped.
 * @throws UserError where a connection keeps breaking, or a file has not the size or hash that the hub promised: then it
 * is not kept.
 */
export async function downloadFiles(
  folder: string,
  commit: string,
  files: readonly RemoteFile[],
  request: Request,
  onProgress?: (progress: DownloadProgress) => void,
): Promise<void> {
  const sizes = await Promise.all(files.map(({ hash }) => sizeOf(join(folder, "blobs", hash))));
  const blobs = new Map(files.map((file, i) => [file.hash, sizes[i] === undefined ? file : undefined]));
  const missing = [...blobs.values()].filter((file) => file !== undefined);
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  const started = performance.now();
  let before = 0;
  let received = 0;
  for (const file of missing) {
    await fetchBlob(join(folder, "blobs", file.hash), file, request, (done, fresh) => {
      received += fresh;
      const bytesPerSecond = (1000 * received) / (performance.now() - started);
      onProgress?.({ file: file.path, done: before + done, total, bytesPerSecond });
    });
    before += file.size;
  }
  for (const { path, hash } of files)
    await pointTo(join(folder, "blobs", hash), join(folder, "snapshots", commit, path));
}

/** @param onBytes told of each piece: bytes of the file on the disk, and those among them that just came */
async function fetchBlob(
  blob: string,
  file: RemoteFile,
  request: Request,
  onBytes: (done: number, fresh: number) => void,
): Promise<void> {
  const part = `${blob}.incomplete`;
  await mkdir(dirname(blob), { recursive: true });
  for (let failures = 0; ; ) {
    const have = (await sizeOf(part)) ?? 0;
    if (have === file.size) break;
    let reason = "the connection closed";
    try {
      // A part that is longer than the whole is none of it.
      await append(part, have > file.size ? 0 : have, file, request, onBytes);
    } catch (error) {
      if (error instanceof UserError) throw error;
      reason = reasonOf(error);
    }
    const now = (await sizeOf(part)) ?? 0;
    if (now > have) {
      failures = 0;
    } else if (++failures === MAX_FAILURES) {
      throw new UserError(
        `${file.url} broke off after ${now} of ${file.size} bytes (${reason}); run the same command again to continue`,
      );
    }
    if (now < file.size) await wait(100 * 2 ** failures);
  }
  if (file.size === 0) await (await open(part, "w")).close();
  if ((await hashOf(part, file)) !== file.hash) {
    await rm(part);
    throw new UserError(
      `${file.url} arrived damaged (its hash differs from the one on the hub) and was not kept; try again`,
    );
  }
  await rename(part, blob);
}

/** Fetches what comes after the first `have` bytes, as far as the connection holds. */
async function append(
  part: string,
  have: number,
  file: RemoteFile,
  request: Request,
  onBytes: (done: number, fresh: number) => void,
): Promise<void> {
  const range: Record<string, string> = have ? { Range: `bytes=${have}-` } : {};
  const response = await request(file, { ...range, "Accept-Encoding": "identity" });
  // A server may answer a range with the whole.
  const resumed = response.status === 206;
  let done = resumed ? have : 0;
  const length = response.headers.get("Content-Length");
  const refuse = async (size: string | number) => {
    // One that is being read is cancelled where its loop ends.
    if (!response.body?.locked) await response.body?.cancel();
    await rm(part, { force: true });
    throw new UserError(`${file.url} has ${size} bytes, but ${file.size} on the hub, and was not kept; try again`);
  };
  if (response.status === 416) return refuse(`no more than ${have}`);
  if (length !== null && done + Number(length) !== file.size) return refuse(done + Number(length));
  const output = await open(part, resumed ? "a" : "w");
  try {
    for await (const bytes of response.body ?? []) {
      done += bytes.length;
      if (done > file.size) return await refuse("more");
      await output.appendFile(bytes);
      onBytes(done, bytes.length);
    }
  } finally {
    await output.close();
  }
}

/** The file's hash of the kind that the hub names: SHA-256, or SHA-1 as Git takes it. */
async function hashOf(path: string, file: RemoteFile): Promise<string> {
  const hash = file.hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${file.size}\0`);
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest("hex");
}

/** A relative link, as other Hugging Face tools make it; a copy where the system allows none. */
async function pointTo(blob: string, pointer: string): Promise<void> {
  if ((await sizeOf(pointer)) !== undefined) return;
  await mkdir(dirname(pointer), { recursive: true });
  await rm(pointer, { force: true });
  try {
    await symlink(relative(dirname(pointer), blob), pointer);
  } catch (error) {
    if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
    await copyFile(blob, pointer);
  }
}

async function sizeOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

/** Node says only "fetch failed", and why in the cause. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
