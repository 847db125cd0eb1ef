import type { ModelFiles } from "../checkpoints/model-files.ts";
import type { Network } from "../checkpoints/onnx/network.ts";
import { UserError } from "../errors.ts";
import { readsPictures } from "../models/onnx/network-inputs.ts";
import type { Example, PictureInput, TaskData } from "../tasks/example.ts";
import type { TaskKind } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import { varied } from "../tokenization/augment-picture.ts";
import { type DecodePicture, type ImageProcessor, readImageProcessor } from "../tokenization/image-processor.ts";
import type { RawPicture } from "../tokenization/resize-picture.ts";

/** How a model's pictures are read. */
export interface PictureReader {
  /** As the model's folder says; absent where it does not. */
  processor: ImageProcessor | undefined;
  /** Opens a file; absent where files of pictures cannot be opened. */
  decode: DecodePicture | undefined;
}

/** A model with how its pictures are read, where it reads some. */
interface ReadsPictures {
  name: string;
  pictures?: PictureReader | undefined;
}

export interface ReadPicturesOptions {
  /** Aborting ends it, with its reason. */
  signal?: AbortSignal | undefined;
  /** Told how many are read; what it returns is waited for. */
  onDone?: ((done: number, of: number) => void | Promise<void>) | undefined;
}

/** How pictures are read, of a network that reads some. @throws UserError where the folder's preprocessor_config.json cannot be used */
export const processorFor = async (
  network: Network | undefined,
  files: ModelFiles,
): Promise<ImageProcessor | undefined> => (network && readsPictures(network) ? readImageProcessor(files) : undefined);

/** Pictures that are decoded at once. */
const AT_ONCE = 4;
/** Most bytes of pictures that are kept, at the size that the model reads. */
const MOST = 2 ** 32;

/** A task with the pictures of its examples, of kinds that read pictures. @throws UserError as {@link readPictures} */
export async function withPictures(
  task: TaskData,
  base: ReadsPictures,
  options?: ReadPicturesOptions,
): Promise<TaskData> {
  const all = [task.train, ...task.validation.map(({ examples }) => examples)];
  const [train, ...validation] = await readParts(findTaskKind(task.kind), all, base, options);
  return {
    ...task,
    train: train!,
    validation: task.validation.map((split, i) => ({ ...split, examples: validation[i]! })),
  };
}

/**
 * Examples with their pictures, as the model reads them; the same examples where their kind reads none.
 * @throws UserError where a picture cannot be read, the model's folder does not say how, or they are too many.
 */
export async function readPictures(
  kind: Pick<TaskKind, "reads">,
  examples: readonly Example[],
  base: ReadsPictures,
  options?: ReadPicturesOptions,
): Promise<Example[]> {
  return (await readParts(kind, [examples], base, options))[0]!;
}

async function readParts(
  { reads }: Pick<TaskKind, "reads">,
  parts: readonly (readonly Example[])[],
  { pictures, name }: ReadsPictures,
  { signal, onDone }: ReadPicturesOptions = {},
): Promise<Example[][]> {
  if (reads !== "pictures") return parts.map((part) => [...part]);
  const { processor, decode } = pictures ?? {};
  if (!processor) {
    throw new UserError(
      `${name} has no preprocessor_config.json, which says how pictures are resized and scaled; get it from where the model comes from`,
    );
  }
  if (!decode) throw new UserError("pictures' files can be read in Node.js only");
  const of = parts.reduce((sum, part) => sum + part.length, 0);
  const bytes = of * processor.height * processor.width * 3;
  if (bytes > MOST) {
    throw new UserError(
      `${of} pictures take ${(bytes / 1e9).toFixed(1)} GB of memory, and at most ${(MOST / 1e9).toFixed(1)} are kept; take fewer with --max-train-samples`,
    );
  }
  let done = 0;
  const read = async (example: Example): Promise<Example> => {
    if (example.picture) return example;
    const picture = pictureInput(processor, processor.fit(await decode(example.text), example.text));
    return { ...example, picture };
  };
  const results: Example[][] = [];
  for (const part of parts) {
    const result: Example[] = [];
    for (let start = 0; start < part.length; start += AT_ONCE) {
      signal?.throwIfAborted();
      const chunk = part.slice(start, start + AT_ONCE);
      result.push(...(await Promise.all(chunk.map(read))));
      done += chunk.length;
      await onDone?.(done, of);
    }
    results.push(result);
  }
  return results;
}

/** A picture of the size that the model reads; its values are scaled when they are asked for, which takes a quarter of the memory. */
function pictureInput(processor: ImageProcessor, picture: RawPicture): PictureInput {
  return {
    shape: [3, processor.height, processor.width],
    key: hashOf(picture.data),
    write: (into, variant, augmentation = "none") =>
      processor.write(variant === undefined ? picture : varied(picture, variant, augmentation), into),
  };
}

/** 64 bits that are as good as always different where bytes are. */
function hashOf(bytes: Uint8Array): string {
  let [a, b] = [0x811c9dc5, 0x1b873593];
  for (const byte of bytes) {
    a = Math.imul(a ^ byte, 0x01000193);
    b = Math.imul(b ^ byte, 0x85ebca6b) + 1;
  }
  return `${(a >>> 0).toString(16)}.${(b >>> 0).toString(16)}`;
}
