import type { Runtime } from "../runtime/session.ts";
import { Batches } from "./batches/batch-order.ts";
import { TrainingStep } from "./step.ts";
import { stepOf, type TrainOptions } from "./train-options.ts";

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
  const { schedule, weights, settings } = options;
  const { model, objective, train } = stepOf(options);
  const trained = { ...model, trainable: schedule.trainable() };
  const step = await TrainingStep.compile(trained, weights, runtime, { objective, ...settings });
  try {
    const { examples } = new Batches(train, settings).at(0);
    // A device compiles its kernels at the first run.
    await step.run(0, examples);
    const started = performance.now();
    const { loss } = await step.run(0, examples);
    return { seconds: (performance.now() - started) / 1000, loss };
  } finally {
    await step.release();
  }
}
