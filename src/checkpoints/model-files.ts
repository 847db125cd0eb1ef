import { type ByteSource, blobSource, bytesSource } from "../files/byte-source.ts";
import { urlSource } from "../files/url-source.ts";
import type { TensorSource } from "./tensor-source.ts";

/** The files of a model or an adapter in any location. */
export interface ModelFiles {
  /** Folder, URL or name, for error messages. */
  readonly location: string;
  /**
   * Formats of weights that are supported here besides safetensors.
   * @internal
   */
  readonly formats?: readonly WeightFormat[];
  /**
   * Opens a file by name.
   * @returns undefined if there is none.
   * @throws UserError if it cannot be read.
   */
  open(name: string): Promise<ByteSource | undefined>;
  /** Returns a generated JSON file's value, or undefined. As text, a large tokenizer would take 100 MB more. */
  made?(name: string): unknown;
}

/** A file format of weights. */
export interface WeightFormat {
  /** Name of the file; a sharded checkpoint's index has this name and `.index.json`. */
  readonly file: string;
  /** Set if the file also holds the forward pass. */
  readonly holdsNetwork?: true;
  /**
   * @param files the files to which it belongs
   * @throws UserError if the file is damaged or of another format.
   */
  open(source: ByteSource, files: ModelFiles): Promise<TensorSource>;
}

/**
 * Returns files below a base URL, such as `https://example.org/models/mine`.
 * @example
 * ```ts
 * const model = urlFiles("https://example.org/models/mine");
 * ```
 */
export function urlFiles(base: string): ModelFiles {
  const folder = base.replace(/\/*$/, "/");
  return { location: base, open: (name) => urlSource(folder + name.split("/").map(encodeURIComponent).join("/")) };
}

/**
 * Returns files in memory, or chosen in a page, by name.
 * @param location for error messages
 * @example
 * ```ts
 * const adapter = await readAdapter(memoryFiles("my adapter", adapterBytes(trained)));
 * ```
 */
export function memoryFiles(location: string, files: Readonly<Record<string, Blob | Uint8Array>>): ModelFiles {
  return {
    location,
    async open(name) {
      const file = Object.hasOwn(files, name) ? files[name]! : undefined;
      if (file === undefined) return undefined;
      const path = `${location}/${name}`;
      return file instanceof Blob ? blobSource(path, file) : bytesSource(path, file);
    },
  };
}
