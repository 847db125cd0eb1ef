import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { PAPER_METHOD } from "../../methods/methods.ts";
import { inOrder, placer } from "../../reports/matrix-places.ts";
import { readRunRecords } from "../../runs/read-run.ts";
import { REPORT } from "../../runs/run-folder.ts";
import type { RunResult } from "../../runs/run-result.ts";
import { STARTED_AS } from "../help.ts";
import { INTERRUPTED, runTraining } from "../run-training.ts";
import { bytes, duration, integer, table } from "../terminal/format.ts";
import { print } from "../terminal/print.ts";

/** Settings for a run of a minute. The paper's are for far longer runs. */
const SETTINGS = {
  task: "sst2",
  data: fileURLToPath(new URL("../../../assets/sst2", import.meta.url)),
  method: PAPER_METHOD.name,
  maxSteps: 120,
  batchSize: 24,
  evaluateEvery: 60,
  evaluateSamples: 300,
  learningRate: 0.015,
  headLearningRate: 0.015,
  weightDecay: 0,
  maxGradNorm: 1,
  dropout: false,
};

/** Trains on film reviews, long enough for matrices to freeze, and prints which matrices froze. */
export async function freezingDemo(output: string): Promise<void> {
  print("\nAFLoRA on film reviews: each matrix trains until its score falls below the schedule\n");
  const { directory, result } = await runTraining({ ...SETTINGS, output }, { overwrite: true });
  if (result) print(`\n${await story(directory, result)}\n`);
  else process.exitCode = INTERRUPTED;
}

async function story(directory: string, result: RunResult): Promise<string> {
  const { evaluations } = await readRunRecords(directory);
  const before = evaluations.find(({ epoch }) => epoch === 0)!;
  const accuracy = ({ metrics }: Pick<RunResult, "metrics">): string => `${Math.round(100 * metrics.accuracy!)} %`;
  const { trainable } = result;
  return [
    `The model classifies ${accuracy(result)} of ${SETTINGS.evaluateSamples} reviews correctly that it did not train on, before training ${accuracy(before)}.`,
    `${integer(trainable.start)} parameters trained at the start, ${integer(trainable.average)} on average, ${integer(trainable.end)} at the end.`,
    "",
    "Step at which each matrix froze:",
    freezingTable(result),
    "",
    `${duration(result.seconds)}, ${integer(result.tokensPerSecond)} tokens/s, peak memory ${bytes(result.peakMemory)}, adapter ${bytes(result.adapterBytes)}`,
    `Report: ${join(directory, REPORT)}`,
    `Ask it: ${STARTED_AS} predict --run ${directory} "a warm, funny and wise film"`,
  ].join("\n");
}

/** Table of projection matrix × block, as in the paper's figure. */
function freezingTable({ frozenAtStep }: RunResult): string {
  const place = placer(Object.keys(frozenAtStep));
  const cells = Object.entries(frozenAtStep).map(([matrix, step]) => ({ ...place(matrix), step }));
  const blocks = inOrder(cells.map(({ block }) => block));
  const kinds = [...new Set(cells.map(({ kind }) => kind))];
  const stepOf = (kind: string, block: string): string => {
    const cell = cells.find((each) => each.kind === kind && each.block === block);
    return cell === undefined ? "" : String(cell.step ?? "–");
  };
  return table([
    ["", ...blocks.map((block) => `block ${block}`)],
    ...kinds.map((kind) => [kind, ...blocks.map((block) => stepOf(kind, block))]),
  ]);
}
