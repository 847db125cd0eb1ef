import { type BlockFreezingSettings, freezesBlocks, withBlockFreezing } from "../methods/block-freezing.ts";
import type { MethodState, RunLength, Schedule } from "../methods/method.ts";
import { findMethod, scheduleFor } from "../methods/methods.ts";
import type { ModelTrace } from "../models/trace.ts";
import { type AdaptedModel, trainedByBlock } from "../training/step-graph.ts";
import type { MethodChoice } from "./training-options.ts";

/**
 * What changes in the course of a run: the method's schedule, and beside it one for whole blocks where the settings ask for it.
 * @param model as the method adapts it
 * @param state what the schedule's `state` gave
 * @returns with the number of blocks, where they may freeze; else 0
 * @throws UserError where the options do not fit the run's length, the model or each other, or the state does not fit the options
 */
export function runSchedule(
  { name, options }: MethodChoice,
  { model, trace, settings }: { model: AdaptedModel; trace: ModelTrace; settings: BlockFreezingSettings },
  length: RunLength,
  state?: MethodState,
): { schedule: Schedule; blocks: number } {
  const { adaptation } = model;
  const shapes = new Map([...adaptation.parameters, ...trace.weights.values()].map((each) => [each.name, each.shape]));
  const trained = freezesBlocks(settings) ? trainedByBlock(model) : [];
  const schedule = withBlockFreezing(
    (own) => scheduleFor(findMethod(name), options, adaptation, length, own),
    settings,
    {
      method: name,
      trained,
      freezable: adaptation.freezable ?? [],
      // A weight's sizes are numbers.
      shapeOf: (parameter) => shapes.get(parameter) as readonly number[],
    },
    length,
    state,
  );
  return { schedule, blocks: trained.length };
}
