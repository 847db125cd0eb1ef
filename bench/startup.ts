/**
 * How long `aflora --version`, `--help` and a wrong option take beside `node -e 0`, which does nothing, in turn: medians and their
 * ratios. Of the built package.
 *
 *     npm run build && npm run bench:startup -- [ROUNDS]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { median } from "../src/studies/statistics.ts";

const rounds = Number(process.argv[2] ?? 20);
const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
/** What each is called with, and the exit code that it ends with. */
const commands: Readonly<Record<string, [code: number, args: string[]]>> = {
  "node -e 0": [0, ["-e", "0"]],
  "aflora --version": [0, [main, "--version"]],
  "aflora --help": [0, [main, "--help"]],
  "aflora train --help": [0, [main, "train", "--help"]],
  "aflora train --epoch 3": [2, [main, "train", "--epoch", "3"]],
};

const milliseconds = new Map(Object.keys(commands).map((name) => [name, [] as number[]]));
// The first round reads files that later ones find in memory.
for (let round = -1; round < rounds; round++) {
  for (const [name, [code, args]] of Object.entries(commands)) {
    const start = performance.now();
    const { status, stderr } = spawnSync(process.execPath, args, { encoding: "utf8" });
    if (status !== code) throw new Error(`${name} ended with ${status}: ${stderr}`);
    if (round >= 0) milliseconds.get(name)!.push(performance.now() - start);
  }
}
const nothing = median(milliseconds.get("node -e 0")!);
for (const [name, times] of milliseconds) {
  console.log(`${name}: ${median(times).toFixed(0)} ms, ${(median(times) / nothing).toFixed(2)} times node -e 0`);
}
