import type { Runtime } from "../runtime/session.ts";
import { objectiveOf } from "../tasks/task-kinds.ts";
import { epochBatches } from "./batch-order.ts";
import { TrainingStep } from "./step.ts";
import type { TrainOptions } from "./train.ts";

/** A step that was taken to see how long it takes. */
export interface TimedStep {
  seconds: number;
  loss: number;
}

/**
 * Takes a run's first step on a runtime twice and times the second; nothing is changed.
 * @throws UserError where the device cannot be used.
 */
export async function timeStep(options: Omit<TrainOptions, "runtime">, runtime: Runtime): Promise<TimedStep> {
  const { model, schedule, weights, task, settings, train } = options;
  const trained = { ...model, trainable: schedule.trainable() };
  const step = await TrainingStep.compile(trained, weights, runtime, { objective: objectiveOf(task), ...settings });
  try {
    const [batch] = epochBatches(settings.seed, 0, train, settings.batchSize);
    const examples = batch!.map((i) => train[i]!);
    // A device compiles its kernels at the first run.
    await step.run(0, examples);
    const started = performance.now();
    const { loss } = await step.run(0, examples);
    return { seconds: (performance.now() - started) / 1000, loss };
  } finally {
    await step.release();
  }
}
