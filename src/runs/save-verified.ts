import { rm } from "node:fs/promises";
import type { Adapter } from "../base-models/adapter.ts";
import { loadAdapter, saveAdapter } from "../base-models/adapter-folder-node.ts";
import type { BaseModel } from "../base-models/base-model.ts";
import { FineTunedModel } from "../inference/fine-tuned-model.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";

const VERIFIED_EXAMPLES = 16;

/** Writes an adapter, reads it back, and checks that its logits equal those of the parameters in memory, to the bit. */
export async function saveVerified(
  directory: string,
  adapter: Adapter,
  base: BaseModel,
  runtime: Runtime,
  task: TaskData,
): Promise<void> {
  const examples = task.validation[0]!.examples.slice(0, VERIFIED_EXAMPLES);
  const logitsOf = async (candidate: Adapter): Promise<Float32Array[]> => {
    const model = await FineTunedModel.adapt(base, candidate, runtime);
    try {
      return await model.logits(examples);
    } finally {
      await model.release();
    }
  };
  const expected = await logitsOf(adapter);
  await saveAdapter(directory, adapter);
  const found = await logitsOf(await loadAdapter(directory));
  // NaN differs from itself, so an adapter with NaN logits is refused.
  if (found.some((row, i) => row.some((logit, j) => logit !== expected[i]![j]))) {
    await rm(directory, { recursive: true });
    throw new Error(`the adapter in ${directory} does not give the logits that it had in memory; it must not be used`);
  }
}
