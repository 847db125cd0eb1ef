import type { BaseModel } from "../../base-models/base-model.ts";
import type { Tensors } from "../../graph/tensor.ts";
import type { Example, TaskData } from "../../tasks/example.ts";
import { type LengthSettings, runLength } from "../../training/batches/batch-order.ts";
import { withTemperature } from "../../training/calibration/calibrate.ts";
import type { TrainingEnd } from "../../training/events.ts";
import { stageProgress } from "../../training/progress.ts";
import { isClearlyWorse } from "../../training/run-progress.ts";
import { trainOnAll } from "../encoded-task.ts";
import { FineTuning } from "../fine-tuning.ts";
import type { RunPlan } from "../run-plan.ts";
import type { FineTuningSettings } from "../training-options.ts";
import { contrast } from "./contrast.ts";
import { fitPlannedHead, fittedHead } from "./fitted-head.ts";
import { methodStart } from "./method-start.ts";
import { type EndOptions, type RunEnding, runStages, type Stage, type StageOptions } from "./stage.ts";

/** Number of held-out examples from which they are worth more as judges of the model than as training examples. */
const FEW_HELD = 20;
/** Number of examples per class up to which a class needs each of them to learn from. */
const FEW_OF_A_CLASS = 10;

const REFIT_NOTE =
  "there are few examples, so the kept model was trained once more on all of them, including those held out; the scores are from before that";

type Split = Pick<TaskData, "train" | "labels" | "validation" | "heldOut">;

const heldOf = ({ heldOut, validation }: Split): Example[] =>
  heldOut ? validation.flatMap(({ examples }) => [...examples]) : [];

/** Whether a class has so few examples that it needs the held-out ones. */
const hasSmallClasses = (task: Split): boolean =>
  task.train.length + heldOf(task).length <= FEW_OF_A_CLASS * task.labels.length;

/** Held-out examples that the kept model learns at the end; none if there are enough to judge it. */
function fewHeld(task: Split): Example[] {
  const held = heldOf(task);
  return held.length < FEW_HELD || hasSmallClasses(task) ? held : [];
}

/**
 * Returns the number of steps that the {@link refit} of a run takes if training goes as planned to its end; 0 if there is no refit.
 * @param startsFitted whether the run starts from a fitted head
 */
export function refitSteps(
  task: Split,
  settings: LengthSettings & Pick<FineTuningSettings, "contrastive">,
  startsFitted: boolean,
): number {
  const held = fewHeld(task).length;
  const trains = held > 0 && (settings.contrastive || (startsFitted && hasSmallClasses(task)));
  return trains ? runLength(settings, task.train.length + held).totalSteps : 0;
}

/**
 * Trains the kept model once more on all examples if they are few: four held-out ones of 32 are an eighth of the examples to learn from. By
 * then they have chosen the model and its temperature, and are not needed for anything else. A model of a contrastive run that ended early
 * stays as it is, and a model that was trained without contrast if its classes have more than {@link FEW_OF_A_CLASS} examples.
 */
export const refit: Stage<RunEnding, EndOptions> = {
  name: "refit",
  needs: (ending, { again = true }) => again && fewHeld(ending.plan.task).length > 0 && isLearnedAgain(ending),
  async run(ending, options) {
    const { plan, end, adapter } = ending;
    const base = await untrainedBase(ending, options);
    const onAll = { ...plan, base, encoded: trainOnAll(plan.encoded) };
    const learned = keepsStart(end)
      ? (await fitPlannedHead(onAll, options)).weights
      : await trainedOnAll(onAll, ending, options);
    if (!learned) return ending;
    const { temperature } = adapter.description;
    const all = new Map([...adapter.parameters, ...learned]);
    const parameters = temperature === undefined ? all : withTemperature(all, plan.base.trace.classifier!, temperature);
    const description = { ...adapter.description, refit: true };
    return { ...ending, adapter: { ...adapter, description, parameters }, notes: [...ending.notes, REFIT_NOTE] };
  },
};

/** The base as it was read: training changes the weights of a backbone in place if they train. */
async function untrainedBase({ plan, fineTuning }: RunEnding, { readFloat32 }: EndOptions): Promise<BaseModel> {
  const { trainsBackbone } = fineTuning.training.model.adaptation;
  return trainsBackbone ? readFloat32(plan.task) : plan.base;
}

/** Whether no step scored higher than the model that the run began with. */
const keepsStart = ({ best }: TrainingEnd): boolean => best?.step === 0;

/** Whether the kept model is learned again: a fitted head, a contrastive run that reached its end, others if their classes are small. */
function isLearnedAgain({ plan: { task, settings }, fineTuning, end }: RunEnding): boolean {
  if (!end.best) return false;
  if (keepsStart(end)) return fineTuning.startsFitted;
  if (settings.contrastive) return end.state.step === fineTuning.totalSteps;
  return fineTuning.startsFitted && hasSmallClasses(task);
}

/** Standard errors of a difference within which chance explains it. */
const CHANCE = 2;

/**
 * Returns the number of steps of a run without contrast that are worth repeating on all examples: all that it took, unless its last evaluation
 * is worse than its best by more than chance explains. A few held-out examples hardly tell which epoch is best, and at the last one the
 * learning rate has fallen.
 */
export const stepsToRepeat = ({
  state,
  best,
  last,
}: Pick<TrainingEnd, "best" | "last"> & { state: { step: number } }): number =>
  isClearlyWorse(last!, best!, CHANCE) ? best!.step : state.step;

/** Trains on all examples as the run did: a contrastive run to its end, others for {@link stepsToRepeat}. */
async function trainedOnAll(
  onAll: RunPlan,
  { fineTuning, end }: RunEnding,
  { signal, onProgress }: StageOptions,
): Promise<Tensors<"float32"> | undefined> {
  const { settings, encoded, runtime } = onAll;
  const { contrastive } = settings;
  const { totalSteps } = runLength(settings, encoded.train.encoded.length);
  const share = contrastive ? 1 : stepsToRepeat(end) / fineTuning.totalSteps;
  const steps = Math.max(1, Math.round(share * totalSteps));
  const onStep = stageProgress(onProgress, "training on all examples", "steps");
  // The run has trained its head in place, and a resumed run has not computed its start. By contrast, heads are fitted later.
  const { tokenBudget } = fineTuning;
  const headStart = contrastive ? "new" : settings.headStart;
  const begun = { ...onAll, settings: { ...settings, tokenBudget, headStart }, resume: undefined };
  const started = await runStages([fittedHead, methodStart, contrast], begun, { signal });
  // With a new head, the start does not count, so that only the last step is evaluated.
  const once = { ...started.settings, headStart: "new", evaluateEvery: steps } as const;
  const again = new FineTuning({ ...started, settings: once });
  for await (const event of again.train(runtime, { signal })) {
    if (event.kind === "step") await onStep(event.step + 1, steps);
    if (event.kind === "end" || (event.kind === "checkpoint" && event.due && event.step === steps)) {
      signal?.throwIfAborted();
      return again.adapterOf(event.kind === "end" ? event : { state: event.state() }).parameters;
    }
  }
  return undefined;
}
