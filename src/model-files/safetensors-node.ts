import { writeAtomically, writeFully } from "../files/atomic-file-node.ts";
import { fileSource } from "./file-source-node.ts";
import { layOut, openSafetensors, type TensorToWrite } from "./safetensors.ts";
import type { TensorSource } from "./tensor-source.ts";

/**
 * Opens a safetensors file on the disk.
 * @throws UserError where it is missing, truncated or no safetensors file.
 */
export async function openSafetensorsFile(path: string): Promise<TensorSource> {
  return openSafetensors(await fileSource(path));
}

/**
 * Writes tensors as a safetensors file, whole or not at all (see `writeAtomically`), without holding its bytes.
 * @param metadata text to keep in the header.
 * @param onWriting told how many bytes are written of how many.
 * @throws UserError where the file cannot be written; Error where a tensor's data do not fit its shape.
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
