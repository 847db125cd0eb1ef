import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const changed = (path: string): number => statSync(join(ROOT, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Whether a file of `dist/` is as new as all that it was built from: files of these folders. */
export function isBuilt(file: string, folders: readonly string[]): boolean {
  const built = changed(join("dist", file));
  return folders.every((folder) =>
    readdirSync(join(ROOT, folder), { recursive: true, encoding: "utf8" }).every(
      (source) => changed(join(folder, source)) <= built,
    ),
  );
}

/** Writes the sources as JavaScript to dist/ where one of them is newer: tests start the command as its users have it. */
export default function build(): void {
  if (isBuilt("cli/main.js", ["src"])) return;
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  const flags = ["-p", "tsconfig.build.json", "--noCheck", "--declaration", "false"];
  execFileSync(process.execPath, [compiler, ...flags], { cwd: ROOT, stdio: "inherit" });
}
