import { Zip, ZipPassThrough } from "fflate";
import { type OutputFolder, piecesOf } from "../../src/export/output-folder.ts";

/** Zips a folder that `write` fills. Without compression: weights would shrink little. */
export async function zipFolder(name: string, write: (folder: OutputFolder) => Promise<void>): Promise<Blob> {
  const pieces: Uint8Array<ArrayBuffer>[] = [];
  const zip = new Zip((error, piece) => {
    if (error) throw error;
    pieces.push(piece as Uint8Array<ArrayBuffer>);
  });
  const add = (path: string, content: Iterable<Uint8Array>): void => {
    const file = new ZipPassThrough(`${name}/${path}`);
    zip.add(file);
    for (const piece of content) file.push(piece);
    file.push(new Uint8Array(), true);
  };
  await write({
    async write(path, content) {
      add(path, piecesOf(content));
    },
    async makeFolder(path) {
      add(`${path}/`, []);
    },
  });
  zip.end();
  return new Blob(pieces, { type: "application/zip" });
}
