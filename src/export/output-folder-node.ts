import { open } from "node:fs/promises";
import { dirname, join } from "node:path";
import { makeFolder, writeFailure, writeFully } from "../files/atomic-file-node.ts";
import { type OutputFolder, piecesOf } from "./output-folder.ts";

export function diskFolder(path: string): OutputFolder {
  return {
    async write(name, content) {
      const place = join(path, name);
      await makeFolder(dirname(place));
      try {
        const file = await open(place, "w");
        try {
          for (const piece of piecesOf(content)) await writeFully(file, piece);
        } finally {
          await file.close();
        }
      } catch (error) {
        throw writeFailure(place, error);
      }
    },
    async makeFolder(name) {
      await makeFolder(join(path, name));
    },
  };
}
