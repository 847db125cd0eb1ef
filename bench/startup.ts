/**
 * Starting times of the built package, measured in turn: medians and ratios. `aflora --version`, `--help` and a wrong option beside
 * `node -e 0`, which does nothing; `import "aflora"` and its other entrances beside `import "onnxruntime-node"`.
 *
 *     npm run build && npm run bench:startup -- [ROUNDS]
 */
import { spawnSync } from "node:child_process";
import { fileURLToPath } from "node:url";
import { median } from "../src/studies/statistics.ts";

const rounds = Number(process.argv[2] ?? 20);
const ROOT = fileURLToPath(new URL("..", import.meta.url));
const main = fileURLToPath(new URL("../dist/cli/main.js", import.meta.url));
const importing = (name: string): string[] => ["--input-type=module", "--eval", `import "${name}";`];

/** Processes that are compared with the first of them, each with its arguments and exit code. */
const groups: readonly Readonly<Record<string, [code: number, args: string[]]>>[] = [
  {
    "node -e 0": [0, ["-e", "0"]],
    "aflora --version": [0, [main, "--version"]],
    "aflora --help": [0, [main, "--help"]],
    "aflora train --help": [0, [main, "train", "--help"]],
    "aflora train --epoch 3": [2, [main, "train", "--epoch", "3"]],
  },
  {
    'import "onnxruntime-node"': [0, importing("onnxruntime-node")],
    'import "aflora/predict"': [0, importing("aflora/predict")],
    'import "aflora"': [0, importing("aflora")],
    'import "aflora/extend"': [0, importing("aflora/extend")],
  },
];

for (const group of groups) {
  const milliseconds = new Map(Object.keys(group).map((name) => [name, [] as number[]]));
  // The first round reads files that later rounds find in memory.
  for (let round = -1; round < rounds; round++) {
    for (const [name, [code, args]] of Object.entries(group)) {
      const start = performance.now();
      const { status, stderr } = spawnSync(process.execPath, args, { cwd: ROOT, encoding: "utf8" });
      if (status !== code) throw new Error(`${name} ended with ${status}: ${stderr}`);
      if (round >= 0) milliseconds.get(name)!.push(performance.now() - start);
    }
  }
  const [first] = milliseconds.keys();
  const base = median(milliseconds.get(first!)!);
  for (const [name, times] of milliseconds) {
    console.log(`${name}: ${median(times).toFixed(0)} ms, ${(median(times) / base).toFixed(2)} times ${first}`);
  }
}
