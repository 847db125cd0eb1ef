import { join } from "node:path";
import { fileURLToPath } from "node:url";
import { Command } from "commander";
import { head } from "../../methods/head.ts";
import { DEFAULT_METHOD } from "../../methods/methods.ts";
import { readRunRecords } from "../../runs/read-run.ts";
import type { RunResult } from "../../runs/records.ts";
import { addExamples, STARTED_AS } from "../help.ts";
import { INTERRUPTED, runTraining } from "../run-training.ts";
import { bytes, duration, integer, table } from "../terminal/format.ts";

/** Settings for a run of minutes. The paper's are for far longer runs. */
const SETTINGS = {
  task: "sst2",
  data: fileURLToPath(new URL("../../../assets/sst2", import.meta.url)),
  batchSize: 32,
  learningRate: 0.015,
  headLearningRate: 0.015,
  weightDecay: 0,
  maxGradNorm: 1,
  dropout: false,
};

const EXAMPLES = ["aflora demo", "aflora demo --output /tmp/aflora-demo"];

/** `aflora demo` */
export function demoCommand(): Command {
  const command = new Command("demo").option("--output <dir>", "folder for the two runs", "runs/demo");
  return addExamples(command, EXAMPLES).action(async ({ output }: { output: string }) => {
    process.stderr.write("Baseline: the head alone, with the encoder frozen\n");
    const baseline = await run(join(output, head.name), { method: head.name, epochs: 1 });
    if (!baseline) return;
    process.stderr.write("\nAFLoRA: adapters beside every linear layer, projection matrices freezing on the way\n");
    const adapted = await run(join(output, DEFAULT_METHOD.name), { method: DEFAULT_METHOD.name, epochs: 2 });
    if (!adapted) return;
    process.stdout.write(`\n${await story(baseline.result, adapted)}\n`);
  });
}

async function run(
  output: string,
  options: Record<string, unknown>,
): Promise<{ directory: string; result: RunResult } | undefined> {
  const { directory, result } = await runTraining({ ...SETTINGS, ...options, output }, { overwrite: true });
  if (!result) process.exitCode = INTERRUPTED;
  return result && { directory, result };
}

/** Describes the demo's result: the gain, the number of parameters, and the freezing. */
async function story(
  baseline: RunResult,
  { directory, result }: { directory: string; result: RunResult },
): Promise<string> {
  const { evaluations } = await readRunRecords(directory);
  const accuracy = (value: number): string => value.toFixed(4);
  const before = evaluations.find(({ epoch }) => epoch === 0)!;
  const { trainable } = result;
  return [
    table([
      ["", "dev accuracy", "trainable parameters beside the head"],
      ["before training", accuracy(before.metrics.accuracy!), ""],
      ["head alone", accuracy(baseline.metrics.accuracy!), "0"],
      [
        "AFLoRA",
        accuracy(result.metrics.accuracy!),
        `${integer(trainable.start)} at the start, ${integer(trainable.average)} on average, ${integer(trainable.end)} at the end`,
      ],
    ]),
    "",
    "step at which each projection matrix froze:",
    freezingTable(result),
    "",
    `${duration(result.seconds)}, ${integer(result.tokensPerSecond)} tokens/s, peak memory ${bytes(result.peakMemory)}, adapter ${bytes(result.adapterBytes)}`,
    `run folder: ${directory} (open report.html there)`,
    `try: ${STARTED_AS} predict --run ${directory} "a warm, funny and wise film"`,
  ].join("\n");
}

/** Table of projection matrix × block, as in the paper's figure. */
function freezingTable({ frozenAtStep }: RunResult): string {
  const blocks = new Set<string>();
  const rows = new Map<string, Map<string, string>>();
  for (const [name, step] of Object.entries(frozenAtStep)) {
    const [, block, matrix] = /\.(\d+)\.(.*)$/.exec(name)!;
    blocks.add(block!);
    const row = rows.get(matrix!) ?? new Map<string, string>();
    rows.set(matrix!, row.set(block!, step === null ? "–" : String(step)));
  }
  return table([
    ["", ...[...blocks].map((block) => `block ${block}`)],
    ...[...rows].map(([matrix, steps]) => [matrix, ...[...blocks].map((block) => steps.get(block) ?? "")]),
  ]);
}
