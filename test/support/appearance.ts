import { existsSync, watch } from "node:fs";
import { dirname } from "node:path";

/** Waits until there is a file or folder of this name, as soon as the system tells of it. */
export async function appearance(path: string): Promise<void> {
  const folder = dirname(path);
  if (!existsSync(folder)) await appearance(folder);
  await new Promise<void>((resolve, reject) => {
    const look = (): void => {
      if (!existsSync(path)) return;
      watcher.close();
      resolve();
    };
    const watcher = watch(folder, look).on("error", reject);
    look();
  });
}
