/** Where the files of an export go. Names are paths within it, with `/`. */
export interface OutputFolder {
  /** Writes a file, of pieces one after another; folders on the way to it are made. */
  write(name: string, content: string | Uint8Array | Iterable<Uint8Array>): Promise<void>;
  /** Makes a folder that may stay empty. */
  makeFolder(name: string): Promise<void>;
}

/** Told how many bytes of weights are written of how many, as they are in float32. */
export type OnWriting = (done: number, of: number) => void;

/** Writes a value as indented JSON. */
export function writeJson(folder: OutputFolder, name: string, value: object): Promise<void> {
  return folder.write(name, `${JSON.stringify(value, null, 2)}\n`);
}

/** What a file is given, as its bytes from the first to the last. */
export function piecesOf(content: Parameters<OutputFolder["write"]>[1]): Iterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  return content instanceof Uint8Array ? [content] : content;
}
