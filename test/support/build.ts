import { execFileSync } from "node:child_process";
import { readdirSync, statSync } from "node:fs";
import { join } from "node:path";
import { fileURLToPath } from "node:url";

const ROOT = fileURLToPath(new URL("../..", import.meta.url));
const changed = (path: string): number => statSync(join(ROOT, path), { throwIfNoEntry: false })?.mtimeMs ?? 0;

/** Writes the sources as JavaScript to dist/ where one of them is newer: tests start the command as its users have it. */
export default function build(): void {
  const built = changed("dist/cli/main.js");
  const sources = readdirSync(join(ROOT, "src"), { recursive: true, encoding: "utf8" });
  if (sources.every((file) => changed(join("src", file)) <= built)) return;
  const compiler = join(ROOT, "node_modules/typescript/bin/tsc");
  const flags = ["-p", "tsconfig.build.json", "--noCheck", "--declaration", "false"];
  execFileSync(process.execPath, [compiler, ...flags], { cwd: ROOT, stdio: "inherit" });
}
