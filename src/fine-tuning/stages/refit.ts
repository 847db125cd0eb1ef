import type { Tensors } from "../../graph/tensor.ts";
import type { Adapter } from "../../model/adapter.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { Example, TaskData } from "../../tasks/example.ts";
import { stepsPerEpoch } from "../../training/batches/batch-order.ts";
import { cooled } from "../../training/calibration/calibrate.ts";
import type { TrainingEnd } from "../../training/events.ts";
import type { HeadFitOptions } from "../../training/linear-head/fit-head.ts";
import { FineTuning, type FineTuningPlan } from "../fine-tuning.ts";
import type { FineTuningSettings } from "../training-options.ts";
import { startFromFittedHead } from "./fitted-head.ts";

/** Held-out examples from which on they are worth more as what the kept model is judged by. */
const FEW_HELD = 20;

/** What is said of a model that was fitted again. */
export const REFIT_NOTE =
  "few examples were held out, so the kept model was trained once more on all examples, including these; the scores are from before that";

/** A run: its plan, itself, and how its training ended. */
interface EndedRun {
  plan: FineTuningPlan;
  fineTuning: FineTuning;
  end: TrainingEnd;
}

type Split = Pick<TaskData, "validation" | "heldOut">;

/** Held-out examples that the kept model learns at the end; none where they are worth more as its judges. */
function fewHeld({ validation, heldOut }: Split): Example[] {
  const held = validation.flatMap(({ examples }) => examples);
  return heldOut && held.length < FEW_HELD ? held : [];
}

/** Steps that {@link refit} takes where contrastive training comes to its end; 0 where it takes none. */
export function refitSteps(
  task: Split & Pick<TaskData, "train">,
  { contrastive, batchSize, epochs }: Pick<FineTuningSettings, "contrastive" | "batchSize" | "epochs">,
): number {
  const held = fewHeld(task).length;
  return contrastive && held > 0 ? stepsPerEpoch(task.train.length + held, batchSize) * epochs : 0;
}

/**
 * Trains what a run kept once more, on all its examples, where few were held out: four of 32 are an eighth of what there is to learn
 * from. They have decided on the model and its temperature by then, and nothing else is told by them.
 * @param adapter what the run came to
 * @returns undefined where enough was held out, or the run kept neither a fitted head nor what it learned by contrast to its end
 * @throws the signal's reason
 */
export async function refit(
  { plan, fineTuning, end }: EndedRun,
  adapter: Adapter,
  runtime: Runtime,
  options: Pick<HeadFitOptions, "signal" | "onFitting">,
): Promise<Adapter | undefined> {
  const { task } = plan;
  const held = fewHeld(task);
  if (held.length === 0 || !end.best) return undefined;
  const all = { ...task, train: [...task.train, ...held].map((example, index) => ({ ...example, index })) };
  const learned = await (end.best.step === 0
    ? headOfAll({ ...plan, task: all }, runtime, options)
    : contrastOfAll({ plan: { ...plan, task: all }, fineTuning, end }, runtime, options));
  if (!learned) return undefined;
  const { temperature } = adapter.description;
  const parameters = new Map([...adapter.parameters, ...learned]);
  return {
    ...adapter,
    description: { ...adapter.description, refit: true },
    parameters: temperature === undefined ? parameters : cooled(parameters, plan.base.trace.classifier!, temperature),
  };
}

async function headOfAll(
  { base, task, settings, start }: FineTuningPlan,
  runtime: Runtime,
  options: Pick<HeadFitOptions, "signal" | "onFitting">,
): Promise<Tensors<"float32"> | undefined> {
  if (start) return undefined;
  const headed = await startFromFittedHead({ base, task, settings }, runtime, options);
  return headed?.fitted.weights;
}

async function contrastOfAll(
  { plan, fineTuning, end: { state } }: EndedRun,
  runtime: Runtime,
  { signal, onFitting }: Pick<HeadFitOptions, "signal" | "onFitting">,
): Promise<Tensors<"float32"> | undefined> {
  const { task, settings } = plan;
  const { tokenBudget } = fineTuning;
  if (!settings.contrastive || state.step !== fineTuning.totalSteps) return undefined;
  const { batchSize } = settings;
  const totalSteps = stepsPerEpoch(task.train.length, batchSize) * settings.epochs;
  // Neither the start nor an evaluation on the way is asked for: with a new head, the start does not count.
  const once = { ...settings, tokenBudget, headStart: "new", evaluateEvery: totalSteps } as const;
  const again = new FineTuning({ ...plan, settings: once, resume: undefined });
  for await (const event of again.train(runtime, { signal })) {
    if (event.kind === "step") {
      await onFitting?.({ doing: "training on all", done: (event.step + 1) * batchSize, of: totalSteps * batchSize });
    }
    if (event.kind !== "end") continue;
    signal?.throwIfAborted();
    return event.state.best!.parameters;
  }
  return undefined;
}
