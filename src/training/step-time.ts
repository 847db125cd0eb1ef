import type { Runtime } from "../runtime/session.ts";
import { Batches } from "./batches/batch-order.ts";
import { TrainingStep } from "./step.ts";
import { stepOf, type TrainOptions } from "./train-options.ts";

export interface TimedStep {
  seconds: number;
  loss: number;
}

/**
 * Takes a run's first step twice on a runtime and times the second. Parameters do not change.
 * @throws UserError if the device cannot be used.
 */
export async function timeStep(options: Omit<TrainOptions, "runtime">, runtime: Runtime): Promise<TimedStep> {
  const { schedule, weights, settings } = options;
  const { model, objective, train } = stepOf(options);
  const trained = { ...model, trainable: schedule.trainable() };
  const step = await TrainingStep.compile(trained, weights, runtime, { objective, ...settings });
  try {
    const { examples } = new Batches(train, settings).at(0);
    // Devices compile their kernels in the first run.
    await step.run(0, examples);
    const started = performance.now();
    const { loss } = await step.run(0, examples);
    return { seconds: (performance.now() - started) / 1000, loss };
  } finally {
    await step.release();
  }
}
