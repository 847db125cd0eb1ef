/**
 * Fits the linear head, once for each line on stdin; answers with the seconds, the process's peak memory in bytes and the accuracy on other
 * rows. bench/linear-head.ts starts it.
 *
 *     tsx peer-linear-head.ts SET.json THREADS part|all
 */
import { readFileSync } from "node:fs";
import { createInterface } from "node:readline";
import { nodeRuntime } from "../src/runtime/runtime-node.ts";
import { argmax } from "../src/tasks/probabilities.ts";
import { crossValidate } from "../src/training/linear-head/cross-validation.ts";
import type { LinearFunction } from "../src/training/linear-head/design.ts";
import type { FeatureRows } from "../src/training/linear-head/feature-rows.ts";
import { choosePenalty, fitLinear } from "../src/training/linear-head/linear-head.ts";
import { LinearSolver } from "../src/training/linear-head/linear-solver.ts";
import { type HeadSet, headRows } from "./head-set.ts";

/** Share of the rows that a fit of five folds is given. */
const SHARE = 0.8;

const [path, threads, how] = process.argv.slice(2) as [string, string, "part" | "all"];
const set = JSON.parse(readFileSync(path, "utf8")) as HeadSet;
const rows = headRows(set);
const others = headRows({ ...set, features: set.others, classes: set.otherClasses });
const strata = set.classes;
const runtime = nodeRuntime({ threads: Number(threads) });

const fitted = (): Promise<LinearFunction> =>
  LinearSolver.with(runtime, { loss: "softmax", outputs: set.outputs }, async (solver) => {
    if (how === "part") return fitLinear(solver, rows, await choosePenalty(solver, rows, { strata }), { strata });
    const penalties = set.penalties.map((penalty) => penalty / SHARE);
    const tried = await crossValidate(solver, rows, { strata }, { penalties, ofAll: true });
    const lossOf = (i: number): number => tried[i]!.losses.reduce((sum, each) => sum + each, 0);
    const best = tried.reduce((least, _, i) => (lossOf(i) < lossOf(least) ? i : least), 0);
    return fitLinear(solver, rows, { penalty: set.penalties[best]!, factor: 1 }, { strata });
  });

function accuracyOf({ weight, bias }: LinearFunction, { features, width, outputs, rows: count }: FeatureRows): number {
  let right = 0;
  for (let row = 0; row < count; row++) {
    const logits = Float32Array.from({ length: outputs }, (_, k) => {
      let logit = bias[k]!;
      for (let j = 0; j < width; j++) logit += weight[k * width + j]! * features[row * width + j]!;
      return logit;
    });
    if (argmax(logits) === set.otherClasses[row]) right++;
  }
  return right / count;
}

for await (const _ of createInterface({ input: process.stdin })) {
  const start = performance.now();
  const found = await fitted();
  const seconds = (performance.now() - start) / 1000;
  process.stdout.write(`${seconds} ${process.resourceUsage().maxRSS * 1024} ${accuracyOf(found, others)}\n`);
}
