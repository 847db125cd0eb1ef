import { createHash, randomUUID } from "node:crypto";
import { createReadStream } from "node:fs";
import { copyFile, open, rename, rm, stat, symlink } from "node:fs/promises";
import { basename, dirname, join, relative } from "node:path";
import { setTimeout as wait } from "node:timers/promises";
import { UserError } from "../errors.ts";
import { makeFolder, writeFailure } from "../files/atomic-file-node.ts";
import { holdFolder, type Release } from "../files/kernel-lock-node.ts";

/** Progress of a download, as `onProgress` receives it. */
export interface DownloadProgress {
  /** Name of the current file. */
  file: string;
  /** Bytes on the disk, including those of earlier attempts. */
  done: number;
  total: number;
  /** Mean of this run. */
  bytesPerSecond: number;
}

/** A file of a repository at one commit. */
export interface RemoteFile {
  path: string;
  size: number;
  /** SHA-256 of a large file, or Git's SHA-1 of a small one: the hub's ETag, and the blob's name in the cache. */
  hash: string;
  url: string;
}

/** Requests a file. Throws a UserError if the answer is final, any other error if a retry may help. */
export type Request = (file: RemoteFile, headers: Record<string, string>) => Promise<Response>;

/** Receives a file's bytes on the disk, and those of the latest chunk. */
type OnBytes = (done: number, fresh: number) => void;

/** Consecutive attempts without a new byte after which a download fails. */
const MAX_FAILURES = 4;
/** Time between looks whether another download of a file has ended, in milliseconds. */
const POLL = 100;

/**
 * Downloads files into a repository's folder of the Hugging Face cache (`blobs/HASH`, with links to them in
 * `snapshots/COMMIT/PATH`). Files in the cache are not downloaded again; an interrupted file continues where it stopped.
 * @throws UserError if the connection keeps failing, the cache cannot be written, or a file differs from the size or hash
 * on the hub: then it is not kept. After an abort, the signal's reason.
 */
export async function downloadFiles(
  folder: string,
  commit: string,
  files: readonly RemoteFile[],
  request: Request,
  {
    onProgress,
    signal,
  }: { onProgress?: ((progress: DownloadProgress) => void) | undefined; signal?: AbortSignal | undefined } = {},
): Promise<void> {
  const sizes = await Promise.all(files.map(({ hash }) => bytesOf(join(folder, "blobs", hash))));
  const blobs = new Map(files.map((file, i) => [file.hash, sizes[i] === undefined ? file : undefined]));
  const missing = [...blobs.values()].filter((file) => file !== undefined);
  const total = missing.reduce((sum, { size }) => sum + size, 0);
  const started = performance.now();
  let before = 0;
  let received = 0;
  for (const file of missing) {
    const onBytes: OnBytes = (done, fresh) => {
      received += fresh;
      const bytesPerSecond = (1000 * received) / (performance.now() - started);
      onProgress?.({ file: file.path, done: before + done, total, bytesPerSecond });
    };
    const blob = join(folder, "blobs", file.hash);
    const release = await holdBlob(blob, onBytes, signal);
    try {
      await fetchBlob(blob, file, request, onBytes, signal);
    } finally {
      await release();
    }
    before += file.size;
  }
  for (const { path, hash } of files)
    await linkTo(join(folder, "blobs", hash), join(folder, "snapshots", commit, path));
}

const partOf = (blob: string): string => `${blob}.incomplete`;

/** Waits while another load downloads a blob, in this process or another: two downloads into one file would damage it. */
async function holdBlob(blob: string, onBytes: OnBytes, signal: AbortSignal | undefined): Promise<Release> {
  const repository = dirname(dirname(blob));
  // As other Hugging Face tools name it. It is never removed: two loads could each hold a file of that name.
  const lock = join(dirname(repository), ".locks", basename(repository), `${basename(blob)}.lock`);
  for (;;) {
    signal?.throwIfAborted();
    const release = await lockOf(lock);
    if (release) return release;
    onBytes((await bytesOf(partOf(blob))) ?? 0, 0);
    await pause(POLL, signal);
  }
}

/** Takes a lock. @returns undefined if another load holds it; a release that does nothing if the disk or the system has no locks */
async function lockOf(lock: string): Promise<Release | undefined> {
  try {
    await makeFolder(dirname(lock));
    await (await open(lock, "a")).close();
    return await holdFolder(lock);
  } catch {
    return async () => {};
  }
}

async function fetchBlob(
  blob: string,
  file: RemoteFile,
  request: Request,
  onBytes: OnBytes,
  signal: AbortSignal | undefined,
): Promise<void> {
  const part = partOf(blob);
  await makeFolder(dirname(blob));
  for (let failures = 0; ; ) {
    signal?.throwIfAborted();
    // Another process or tool may have finished it meanwhile.
    if ((await bytesOf(blob)) !== undefined) return rm(part, { force: true });
    const have = (await bytesOf(part)) ?? 0;
    if (have === file.size) break;
    let reason = "the connection closed";
    try {
      // A part that is longer than the file is discarded.
      await append(part, have > file.size ? 0 : have, file, request, onBytes);
    } catch (error) {
      signal?.throwIfAborted();
      if (error instanceof UserError) throw error;
      reason = reasonOf(error);
    }
    const now = (await bytesOf(part)) ?? 0;
    if (now > have) {
      failures = 0;
    } else if (++failures === MAX_FAILURES) {
      throw new UserError(
        `${file.url} broke off after ${now} of ${file.size} bytes (${reason}); run the same command again to continue`,
        { code: "network" },
      );
    }
    if (now < file.size) await pause(100 * 2 ** failures, signal);
  }
  if (file.size === 0) await written(part, async () => (await open(part, "w")).close());
  if ((await hashOf(part, file)) !== file.hash) {
    await rm(part);
    throw new UserError(
      `${file.url} arrived damaged (its hash differs from the one on the hub) and was not kept; try again`,
    );
  }
  await written(blob, () => rename(part, blob));
}

/** Requests the bytes after the first `have`, and appends them until the connection ends. */
async function append(part: string, have: number, file: RemoteFile, request: Request, onBytes: OnBytes): Promise<void> {
  const range: Record<string, string> = have ? { Range: `bytes=${have}-` } : {};
  const response = await request(file, { ...range, "Accept-Encoding": "identity" });
  // A server may answer a range request with the whole file.
  const resumed = response.status === 206;
  let done = resumed ? have : 0;
  const length = response.headers.get("Content-Length");
  const refuse = async (size: string | number) => {
    // A body that is being read is cancelled when its loop ends.
    if (!response.body?.locked) await response.body?.cancel();
    await rm(part, { force: true });
    throw new UserError(`${file.url} has ${size} bytes, but ${file.size} on the hub, and was not kept; try again`);
  };
  if (response.status === 416) return refuse(`no more than ${have}`);
  if (length !== null && done + Number(length) !== file.size) return refuse(done + Number(length));
  const output = await written(part, () => open(part, resumed ? "a" : "w"));
  try {
    for await (const bytes of response.body ?? []) {
      done += bytes.length;
      if (done > file.size) return await refuse("more");
      await written(part, () => output.appendFile(bytes));
      onBytes(done, bytes.length);
    }
  } finally {
    await written(part, () => output.close());
  }
}

async function pause(milliseconds: number, signal: AbortSignal | undefined): Promise<void> {
  await wait(milliseconds, undefined, { signal }).catch(() => undefined);
}

/** Runs a change of a file. @throws UserError if the disk is full or the file cannot be written */
async function written<Value>(path: string, change: () => Promise<Value>): Promise<Value> {
  try {
    return await change();
  } catch (error) {
    throw writeFailure(path, error);
  }
}

async function hashOf(path: string, file: RemoteFile): Promise<string> {
  const hash = file.hash.length === 64 ? createHash("sha256") : createHash("sha1").update(`blob ${file.size}\0`);
  for await (const bytes of createReadStream(path)) hash.update(bytes);
  return hash.digest("hex");
}

/** Creates a relative link, as other Hugging Face tools do; a copy if the system allows no links. */
async function linkTo(blob: string, pointer: string): Promise<void> {
  if ((await bytesOf(pointer)) !== undefined) return;
  await makeFolder(dirname(pointer));
  // Another download of the same files may have made the link meanwhile, and be reading it.
  const made = `${blob}.${randomUUID()}`;
  await written(pointer, async () => {
    try {
      await symlink(relative(dirname(pointer), blob), made);
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "EPERM") throw error;
      await copyFile(blob, made);
    }
    await rename(made, pointer);
  });
}

async function bytesOf(path: string): Promise<number | undefined> {
  return (await stat(path).catch(() => undefined))?.size;
}

/** Returns an error's reason. Node's message is just "fetch failed"; the cause has the reason. */
export function reasonOf(error: unknown): string {
  const { message, cause } = error as Error;
  return cause instanceof Error ? cause.message : message;
}
