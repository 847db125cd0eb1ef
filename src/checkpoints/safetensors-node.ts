import { writeAtomically, writeFully } from "../files/atomic-file-node.ts";
import { fileSource } from "./file-source-node.ts";
import { layOut, openSafetensors, type TensorToWrite } from "./safetensors.ts";
import type { TensorSource } from "./tensor-source.ts";

/**
 * Opens a safetensors file on the disk.
 * @throws UserError if it is missing, truncated or not a safetensors file.
 */
export async function openSafetensorsFile(path: string): Promise<TensorSource> {
  return openSafetensors(await fileSource(path));
}

/**
 * Writes tensors as a safetensors file atomically (see `writeAtomically`), without holding its bytes in memory.
 * @param metadata texts to store in the header.
 * @param onWriting called with the bytes written so far and the total.
 * @throws UserError if the file cannot be written; Error if a tensor's data do not fit its shape.
 */
export async function writeSafetensors(
  path: string,
  tensors: ReadonlyMap<string, TensorToWrite>,
  metadata?: Readonly<Record<string, string>>,
  onWriting?: (done: number, of: number) => void,
): Promise<void> {
  const { size, pieces } = layOut(tensors, metadata);
  await writeAtomically(path, async (file) => {
    let done = 0;
    for (const piece of pieces()) {
      await writeFully(file, piece);
      done += piece.length;
      onWriting?.(done, size);
    }
  });
}
