import { classWeightsOf } from "../../tasks/losses/class-weights.ts";
import { findTaskKind, objectiveOf, taskWithTemperature } from "../../tasks/task-kinds.ts";
import { calibrate, type ProbabilityLoss, withTemperature } from "../../training/calibration/calibrate.ts";
import { scaledBy } from "../../training/linear-head/linear-head.ts";
import { stageProgress } from "../../training/progress.ts";
import type { RunEnding, Stage } from "./stage.ts";

/**
 * Divides the last layer of a head that gives probabilities of labels by the temperature that suits the validation examples. Every
 * format of the adapter then gives calibrated probabilities.
 */
export const calibration: Stage<RunEnding> = {
  name: "calibration",
  needs({ plan: { base, encoded }, adapter }) {
    const { classifier } = base.trace;
    const hasLayer = classifier !== undefined && adapter.parameters.has(`${classifier}.weight`);
    return encoded.task.labels.length > 0 && hasLayer && lossOf(encoded.task) !== undefined;
  },
  async run(ending, { signal, onProgress }) {
    const { plan, fineTuning, adapter } = ending;
    const { model, weights, task, validation, settings } = fineTuning.training;
    const classifier = plan.base.trace.classifier!;
    const all = new Map([...weights, ...adapter.parameters]);
    const examples = validation.flatMap(({ encoded }) => encoded);
    const found = await calibrate(model, all, plan.runtime, examples, {
      loss: lossOf(task)!,
      known: rowsKnown(ending),
      tokenBudget: settings.tokenBudget,
      signal,
      onDone: stageProgress(onProgress, "calibrating the probabilities"),
    });
    const { temperature, steps } = found;
    const description = {
      ...adapter.description,
      task: taskWithTemperature(adapter.description.task, temperature),
      temperature,
      ...(choosesOne(ending) && { confidence: steps }),
    };
    const parameters = withTemperature(adapter.parameters, classifier, temperature);
    return { ...ending, adapter: { ...adapter, description, parameters }, calibration: found };
  },
};

/** The loss of outputs that give probabilities of labels; undefined for other outputs. */
function lossOf(task: Parameters<typeof objectiveOf>[0]): ProbabilityLoss | undefined {
  const { linearLoss: loss } = objectiveOf(task);
  return loss === "squared" ? undefined : loss;
}

/** Whether the model chooses one class for each text, so that it may leave the choice open. */
export const choosesOne = ({ plan: { encoded } }: RunEnding): boolean =>
  findTaskKind(encoded.task.kind).choosesClass === true;

/** Number of rows by which cross-validation has already scaled the kept head's outputs: more of the same data than are held out. */
function rowsKnown({ plan, fineTuning, end, adapter }: RunEnding): number {
  const { encoded, base } = plan;
  const isKept = fineTuning.startsFitted && end.best?.step === 0;
  // Class weights make the training rows unlike the held-out ones.
  const isAlike = plan.task.heldOut && !classWeightsOf(findTaskKind(encoded.task.kind), encoded.task);
  if (!isKept || !isAlike) return 0;
  const [outputs] = adapter.parameters.get(`${base.trace.classifier}.weight`)!.shape as [number, number];
  const rows = encoded.sample.encoded.reduce((sum, { weights }) => sum + weights.length, 0);
  return scaledBy({ rows, outputs });
}
