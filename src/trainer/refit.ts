import type { Adapter } from "../inference/adapter.ts";
import type { Runtime } from "../runtime/session.ts";
import { stepsPerEpoch } from "../training/batch-order.ts";
import { cooled } from "../training/calibrate.ts";
import type { TrainingEnd } from "../training/events.ts";
import type { HeadFitOptions } from "../training/fit-head.ts";
import { FineTuning, type FineTuningPlan } from "./fine-tuning.ts";

/** Held-out examples from which on they are worth more as what the kept model is judged by. */
const FEW_HELD = 20;

/** What is said of a model that was fitted again. */
export const REFIT_NOTE =
  "few examples were held out, so the adapter was trained once more on all examples, including these; the scores are from before that";

/**
 * Trains a model that learned few examples by contrast once more, on all of them: four of 32 that are held out are an eighth of what there
 * is to learn from. The held-out ones have decided on the model and its temperature by then, and nothing else is told by them.
 * @param run its plan, itself, and how its training ended
 * @param adapter what it came to
 * @returns undefined where enough was held out, or the run did not come to its end by contrast
 * @throws the signal's reason
 */
export async function refit(
  { plan, fineTuning, end: { best, state } }: { plan: FineTuningPlan; fineTuning: FineTuning; end: TrainingEnd },
  adapter: Adapter,
  runtime: Runtime,
  { signal, onFitting }: Pick<HeadFitOptions, "signal" | "onFitting">,
): Promise<Adapter | undefined> {
  const { task, settings } = plan;
  const { tokenBudget } = fineTuning;
  const held = task.validation.flatMap(({ examples }) => examples);
  const isWhole = state.step === fineTuning.totalSteps;
  if (!settings.contrastive || !task.heldOut || held.length >= FEW_HELD || !best?.step || !isWhole) return undefined;
  const train = [...task.train, ...held].map((example, index) => ({ ...example, index }));
  const { batchSize } = settings;
  const totalSteps = stepsPerEpoch(train.length, batchSize) * settings.epochs;
  // Neither the start nor an evaluation on the way is asked for: with a new head, the start does not count.
  const once = { ...settings, tokenBudget, headStart: "new", evaluateEvery: totalSteps } as const;
  const again = new FineTuning({ ...plan, task: { ...task, train }, settings: once, resume: undefined });
  for await (const event of again.train(runtime, { signal })) {
    if (event.kind === "step") {
      await onFitting?.({ doing: "training on all", done: (event.step + 1) * batchSize, of: totalSteps * batchSize });
    }
    if (event.kind !== "end") continue;
    signal?.throwIfAborted();
    const { temperature = 1 } = adapter.description;
    const parameters = new Map([...adapter.parameters, ...event.state.best!.parameters]);
    return {
      ...adapter,
      description: { ...adapter.description, refit: true },
      parameters: cooled(parameters, plan.base.trace.classifier!, temperature),
    };
  }
  return undefined;
}
