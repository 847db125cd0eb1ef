import type { Tensors } from "../../graph/tensor.ts";
import type { Example, TaskData } from "../../tasks/example.ts";
import { type LengthSettings, runLength } from "../../training/batches/batch-order.ts";
import { withTemperature } from "../../training/calibration/calibrate.ts";
import { stageProgress } from "../../training/progress.ts";
import { trainOnAll } from "../encoded-task.ts";
import { FineTuning } from "../fine-tuning.ts";
import { canFitHead, type RunPlan } from "../run-plan.ts";
import type { FineTuningSettings } from "../training-options.ts";
import { contrast } from "./contrast.ts";
import { fitPlannedHead } from "./fitted-head.ts";
import type { EndOptions, RunEnding, Stage, StageOptions } from "./stage.ts";

/** Number of held-out examples from which they are worth more as judges of the model than as training examples. */
const FEW_HELD = 20;
/** Number of examples per class up to which a class needs each of them to learn from. */
const FEW_OF_A_CLASS = 10;

const REFIT_NOTE =
  "there are few examples, so the kept model was trained once more on all of them, including those held out; the scores are from before that";

type Split = Pick<TaskData, "train" | "labels" | "validation" | "heldOut">;

/** Held-out examples that the kept model learns at the end; none if there are enough to judge it. */
function fewHeld({ train, labels, validation, heldOut }: Split): Example[] {
  const held = validation.flatMap(({ examples }) => [...examples]);
  const areFew = held.length < FEW_HELD || train.length + held.length <= FEW_OF_A_CLASS * labels.length;
  return heldOut && areFew ? held : [];
}

/** Steps that the {@link refit} of a run takes if its contrastive training ends as planned; 0 if there is no refit. */
export function refitSteps(task: Split, settings: LengthSettings & Pick<FineTuningSettings, "contrastive">): number {
  const held = fewHeld(task).length;
  return settings.contrastive && held > 0 ? runLength(settings, task.train.length + held).totalSteps : 0;
}

/**
 * Trains the kept model once more on all examples if they are few: four held-out ones of 32 are an eighth of the examples to learn from. By
 * then they have chosen the model and its temperature, and are not needed for anything else. A run that kept neither a fitted head
 * nor the end of its contrastive training stays as it is.
 */
export const refit: Stage<RunEnding, EndOptions> = {
  name: "refit",
  needs: ({ plan, end }, { again = true }) => again && end.best !== undefined && fewHeld(plan.task).length > 0,
  async run(ending, options) {
    const { plan, end, adapter } = ending;
    const onAll = { ...plan, encoded: trainOnAll(plan.encoded) };
    const learned = await (end.best!.step === 0 ? headOfAll(onAll, options) : contrastOfAll(onAll, ending, options));
    if (!learned) return ending;
    const { temperature } = adapter.description;
    const all = new Map([...adapter.parameters, ...learned]);
    const parameters = temperature === undefined ? all : withTemperature(all, plan.base.trace.classifier!, temperature);
    const description = { ...adapter.description, refit: true };
    return { ...ending, adapter: { ...adapter, description, parameters }, notes: [...ending.notes, REFIT_NOTE] };
  },
};

async function headOfAll(onAll: RunPlan, options: StageOptions): Promise<Tensors<"float32"> | undefined> {
  if (onAll.start || !canFitHead(onAll)) return undefined;
  return (await fitPlannedHead(onAll, options)).weights;
}

async function contrastOfAll(
  onAll: RunPlan,
  { fineTuning, end: { state } }: RunEnding,
  { signal, onProgress }: StageOptions,
): Promise<Tensors<"float32"> | undefined> {
  const { settings, encoded } = onAll;
  if (!settings.contrastive || state.step !== fineTuning.totalSteps) return undefined;
  const onStep = stageProgress(onProgress, "training on all examples", "steps");
  const { tokenBudget } = fineTuning;
  const { totalSteps } = runLength(settings, encoded.train.encoded.length);
  // With a new head, the start does not count, so that only the end is evaluated.
  const once = { ...settings, tokenBudget, headStart: "new", evaluateEvery: totalSteps } as const;
  const again = new FineTuning(await contrast.run({ ...onAll, settings: once, resume: undefined }, { signal }));
  for await (const event of again.train(onAll.runtime, { signal })) {
    if (event.kind === "step") {
      await onStep(event.step + 1, totalSteps);
    }
    if (event.kind !== "end") continue;
    signal?.throwIfAborted();
    return event.state.best!.parameters;
  }
  return undefined;
}
