/** Destination of an export's files. Names are paths within it, with `/`. */
export interface OutputFolder {
  /** Writes a file from consecutive pieces. Creates its parent folders. */
  write(name: string, content: string | Uint8Array | Iterable<Uint8Array>): Promise<void>;
  makeFolder(name: string): Promise<void>;
}

/** Receives the number of bytes of weights written so far, and their total, as in float32. */
export type OnWriting = (done: number, of: number) => void;

export function writeJson(folder: OutputFolder, name: string, value: object): Promise<void> {
  return folder.write(name, `${JSON.stringify(value, null, 2)}\n`);
}

export function piecesOf(content: Parameters<OutputFolder["write"]>[1]): Iterable<Uint8Array> {
  if (typeof content === "string") return [new TextEncoder().encode(content)];
  return content instanceof Uint8Array ? [content] : content;
}
