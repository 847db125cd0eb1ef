import { opt, UserError } from "../errors.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import type { Media } from "../tasks/media.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";

/** Reads the files whose paths are the texts of examples. */
export interface MediaReader {
  reads: Media;
  /** Size of each item in memory in bytes, if all have the same size. */
  size?: number | undefined;
  /** Reads the file of an example, or its own bytes, and returns the size in memory. @throws UserError if it cannot be read */
  read(example: Pick<Example, "text" | "bytes">): Promise<{ found: Pick<Example, "picture" | "sound">; bytes: number }>;
}

interface ReadsMedia {
  name: string;
  media?: MediaReader | undefined;
}

export interface ReadMediaOptions {
  signal?: AbortSignal | undefined;
  onDone?: ((done: number, of: number) => void | Promise<void>) | undefined;
}

const CONCURRENCY = 4;
const MEMORY_LIMIT = 2 ** 32;

export async function withMedia(task: TaskData, base: ReadsMedia, options?: ReadMediaOptions): Promise<TaskData> {
  const kind = findTaskKind(task.kind);
  if (kind.reads === undefined) return task;
  const all = [task.train, ...task.validation.map(({ examples }) => examples)].map((part) => [...part]);
  const [train, ...validation] = await readParts(kind, all, base, options);
  return {
    ...task,
    train: train!,
    validation: task.validation.map((split, i) => ({ ...split, examples: validation[i]! })),
  };
}

export async function readMedia(
  kind: Pick<TaskKind, "reads">,
  examples: readonly Example[],
  base: ReadsMedia,
  options?: ReadMediaOptions,
): Promise<Example[]> {
  return (await readParts(kind, [examples], base, options))[0]!;
}

async function readParts(
  { reads }: Pick<TaskKind, "reads">,
  parts: readonly (readonly Example[])[],
  { media, name }: ReadsMedia,
  { signal, onDone }: ReadMediaOptions = {},
): Promise<Example[][]> {
  if (reads === undefined) return parts.map((part) => [...part]);
  if (media?.reads !== reads)
    throw new UserError(`${name} reads no ${reads}; take another model, or another ${opt("kind")}`);
  const of = parts.reduce((sum, part) => sum + part.length, 0);
  let done = 0;
  let bytes = 0;
  const refuseTooMany = (count: number, size: number): void => {
    if (size <= MEMORY_LIMIT) return;
    throw new UserError(
      `${count} ${reads} take ${(size / 1e9).toFixed(1)} GB of memory, and at most ${(MEMORY_LIMIT / 1e9).toFixed(1)} are kept; take fewer with ${opt("maxTrainSamples")}`,
    );
  };
  if (media.size !== undefined) refuseTooMany(of, of * media.size);
  const read = async (example: Example): Promise<Example> => {
    if (example.picture ?? example.sound) return example;
    const { found, bytes: own } = await media.read(example);
    bytes += own;
    const { bytes: _, ...rest } = example;
    return { ...rest, ...found };
  };
  const results: Example[][] = [];
  for (const part of parts) {
    const result: Example[] = [];
    for (let start = 0; start < part.length; start += CONCURRENCY) {
      signal?.throwIfAborted();
      const chunk = part.slice(start, start + CONCURRENCY);
      result.push(...(await Promise.all(chunk.map(read))));
      done += chunk.length;
      refuseTooMany(done, bytes);
      await onDone?.(done, of);
    }
    results.push(result);
  }
  return results;
}
