import { readFile } from "node:fs/promises";
import { join } from "node:path";
import { readRunRecords } from "../../src/runs/read-run.ts";
import { tickets, writeCsv, writeTinyModel } from "../support/tiny-model.ts";

/** Writes a model and examples; a run on them, `epochs` of 6 steps, takes well under a second beside its start. */
export async function smallRun(home: string, epochs: number): Promise<Record<string, unknown>> {
  const model = await writeTinyModel(join(home, "model"));
  const train = await writeCsv(join(home, "tickets.csv"), tickets());
  const settings = { text: "message", label: "team", batchSize: 7, learningRate: 1e-2, threads: 1 };
  return { model, train, ...settings, epochs };
}

/** What two runs must have in common to the bit: everything but time, memory, place and how often they saved. */
export async function contentOf(directory: string): Promise<object> {
  const { steps, evaluations, freezing, result } = await readRunRecords(directory);
  const { seconds, secondsPerStep, tokensPerSecond, peakMemory, memoryEstimate, ...told } = result!;
  return {
    steps: steps.map(({ seconds, memory, ...record }) => record),
    evaluations,
    freezing: freezing.map(({ compileSeconds, ...record }) => record),
    result: told,
    adapter: (await readFile(join(directory, "adapter", "adapter.safetensors"))).toString("base64"),
  };
}
