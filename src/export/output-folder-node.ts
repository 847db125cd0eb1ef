import { mkdir, writeFile } from "node:fs/promises";
import { dirname, join } from "node:path";
import type { OutputFolder } from "./output-folder.ts";

/** A folder on the disk. */
export function diskFolder(path: string): OutputFolder {
  return {
    async write(name, content) {
      const file = join(path, name);
      await mkdir(dirname(file), { recursive: true });
      await writeFile(file, content);
    },
    async makeFolder(name) {
      await mkdir(join(path, name), { recursive: true });
    },
  };
}
