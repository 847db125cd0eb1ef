import { UserError } from "../errors.ts";
import type { Example, TaskData } from "../tasks/example.ts";
import type { Media } from "../tasks/media.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";

/** How a model reads what examples' texts are the paths of. */
export interface MediaReader {
  reads: Media;
  /** Bytes that each is kept in, where all are of one size. */
  size?: number | undefined;
  /** What is at the path of an example, or in its own bytes, with the bytes that it is kept in. @throws UserError where it cannot be read, or nothing says how */
  read(example: Pick<Example, "text" | "bytes">): Promise<{ found: Pick<Example, "picture" | "sound">; bytes: number }>;
}

/** A model with how it reads files, where it reads some. */
interface ReadsMedia {
  name: string;
  media?: MediaReader | undefined;
}

export interface ReadMediaOptions {
  /** Aborting ends it, with its reason. */
  signal?: AbortSignal | undefined;
  /** Told how many are read; what it returns is waited for. */
  onDone?: ((done: number, of: number) => void | Promise<void>) | undefined;
}

/** Files that are decoded at once. */
const AT_ONCE = 4;
/** Most bytes that are kept, as the model reads them. */
const MOST = 2 ** 32;

/** A task with what the paths of its examples lead to, of kinds that read files. @throws UserError as {@link readMedia} */
export async function withMedia(task: TaskData, base: ReadsMedia, options?: ReadMediaOptions): Promise<TaskData> {
  const all = [task.train, ...task.validation.map(({ examples }) => examples)];
  const [train, ...validation] = await readParts(findTaskKind(task.kind), all, base, options);
  return {
    ...task,
    train: train!,
    validation: task.validation.map((split, i) => ({ ...split, examples: validation[i]! })),
  };
}

/**
 * Examples with what their paths lead to, as the model reads it; the same examples where their kind reads texts.
 * @throws UserError where a file cannot be read, the model's folder does not say how, or they are too many.
 */
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
  if (media?.reads !== reads) throw new UserError(`${name} reads no ${reads}; take another model, or another --kind`);
  const of = parts.reduce((sum, part) => sum + part.length, 0);
  let done = 0;
  let bytes = 0;
  const refuseTooMany = (count: number, size: number): void => {
    if (size <= MOST) return;
    throw new UserError(
      `${count} ${reads} take ${(size / 1e9).toFixed(1)} GB of memory, and at most ${(MOST / 1e9).toFixed(1)} are kept; take fewer with --max-train-samples`,
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
    for (let start = 0; start < part.length; start += AT_ONCE) {
      signal?.throwIfAborted();
      const chunk = part.slice(start, start + AT_ONCE);
      result.push(...(await Promise.all(chunk.map(read))));
      done += chunk.length;
      refuseTooMany(done, bytes);
      await onDone?.(done, of);
    }
    results.push(result);
  }
  return results;
}
