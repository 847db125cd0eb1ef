import { type BlockFreezingSettings, freezesBlocks, withBlockFreezing } from "../methods/block-freezing.ts";
import type { MethodState, RunLength, Schedule } from "../methods/method.ts";
import { findMethod, scheduleFor } from "../methods/methods.ts";
import { type AdaptedModel, trainedByBlock } from "../training/step-graph.ts";
import type { MethodChoice } from "./training-options.ts";

/**
 * Makes the schedule of a run: the method's own, combined with one that freezes whole blocks if the settings ask for it.
 * @param model the model as the method adapts it
 * @param state the state that a resumed run saved
 * @returns the schedule, and the number of blocks if they may freeze, otherwise 0
 * @throws UserError if the options do not suit the run's length, the model or each other, or the state does not fit the options
 */
export function runSchedule(
  { name, options }: MethodChoice,
  { model, settings }: { model: AdaptedModel; settings: BlockFreezingSettings },
  length: RunLength,
  state?: MethodState,
): { schedule: Schedule; blocks: number } {
  const { adaptation } = model;
  const trained = freezesBlocks(settings) ? trainedByBlock(model) : [];
  const schedule = withBlockFreezing(
    (own) => scheduleFor(findMethod(name), options, adaptation, length, own),
    settings,
    { method: name, trained, freezable: adaptation.freezable ?? [] },
    length,
    state,
  );
  return { schedule, blocks: trained.length };
}
