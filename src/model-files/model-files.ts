import { type ByteSource, blobSource, bytesSource } from "../files/byte-source.ts";
import { urlSource } from "../files/url-source.ts";
import type { TensorSource } from "./tensor-source.ts";

/** The files of a model or an adapter, wherever they are. */
export interface ModelFiles {
  /** Where they are, for error messages: a folder, a URL or a name. */
  readonly location: string;
  /** Formats of weights that can be read here beside safetensors. */
  readonly formats?: readonly WeightFormat[];
  /**
   * The file of that name.
   * @returns undefined where there is none.
   * @throws UserError where it cannot be read.
   */
  open(name: string): Promise<ByteSource | undefined>;
  /** The value of a JSON file that is made rather than stored; undefined for others. As text a large tokenizer takes 100 MB more. */
  made?(name: string): unknown;
}

/** A format in which a checkpoint keeps its weights. */
export interface WeightFormat {
  /** Name of the file that holds them; of one in shards, the index's is this and `.index.json`. */
  readonly file: string;
  /** Set where a file also holds what is computed with the weights. */
  readonly holdsNetwork?: true;
  /**
   * @param files those among which it is
   * @throws UserError where the file is damaged or of another format.
   */
  open(source: ByteSource, files: ModelFiles): Promise<TensorSource>;
}

/** Files below a base URL, such as `https://example.org/models/mine`. */
export function urlFiles(base: string): ModelFiles {
  const folder = base.replace(/\/*$/, "/");
  return { location: base, open: (name) => urlSource(folder + name.split("/").map(encodeURIComponent).join("/")) };
}

/** Files in memory, or such as a person chose in a page, by name. @param location for error messages */
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
