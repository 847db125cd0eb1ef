/**
 * Trains on a file until some steps are done, or reads it and encodes every row. Prints a {@link RowsMeasure} as JSON. bench/rows.ts
 * starts it.
 *
 *     tsx peer-rows.ts train|encode FILE THREADS
 */

import { BUNDLED_MODEL } from "../src/base-models/bundled-model.ts";
import { openModel } from "../src/base-models/load-base-model-node.ts";
import { loadTableTask } from "../src/datasets/table-node.ts";
import { encodeTask } from "../src/preparation/encoded-task.ts";
import { prepareFromFiles } from "../src/preparation/prepare-from-files-node.ts";

export interface RowsMeasure {
  /** From the start of the process to the first step, or to the last encoded row. */
  seconds: number;
  /** Peak, in bytes, without the weights. */
  memory: number;
  /** Of the steps, or of reading and encoding. */
  rowsPerSecond: number;
}

/** Steps that are timed; the first warms up. */
const STEPS = 31;

async function trained(file: string, threads: number): Promise<RowsMeasure> {
  const { fineTuning, runtime, memory, settings, release } = await prepareFromFiles({ train: file, threads });
  const steps: number[] = [];
  let seconds = 0;
  for await (const event of fineTuning.train(runtime)) {
    if (event.kind !== "step") continue;
    if (steps.length === 0) seconds = performance.now() / 1000;
    steps.push(event.seconds);
    if (steps.length === STEPS) break;
  }
  await release();
  const timed = steps.slice(1).reduce((sum, each) => sum + each, 0);
  return {
    seconds,
    memory: peak() - memory.weights,
    rowsPerSecond: (settings.batchSize * (STEPS - 1)) / timed,
  };
}

async function encoded(file: string): Promise<RowsMeasure> {
  const task = await loadTableTask({ train: file });
  const model = await openModel(BUNDLED_MODEL);
  const { train, validation } = await encodeTask(task, model, {
    maxLength: 128,
    taskOptions: {},
    evaluateSamples: "all",
  });
  let rows = validation.reduce((sum, { encoded }) => sum + encoded.length, 0);
  for (const { encoding } of train.encoded) rows += Math.sign(encoding.inputIds.length);
  const seconds = performance.now() / 1000;
  return { seconds, memory: peak(), rowsPerSecond: rows / seconds };
}

const peak = (): number => process.resourceUsage().maxRSS * 1024;

const [what, file, threads] = process.argv.slice(2) as ["train" | "encode", string, string];
console.log(JSON.stringify(await (what === "train" ? trained(file, Number(threads)) : encoded(file))));
