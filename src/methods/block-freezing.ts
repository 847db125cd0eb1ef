import { z } from "zod";
import { opt, UserError } from "../errors.ts";
import { BlockController, type BlockSchedule, workLeft } from "./freezing/block-controller.ts";
import type { FrozenBlocks, MethodState, RunLength, Schedule } from "./method.ts";
import { duration, resolveDuration, sameStepCost } from "./options.ts";

const EARLIEST = "30%";
const INTERVAL = "1%";

/** Options of a schedule for whole blocks. A method supports them if only gradients change its parameters. */
export const blockFreezingOptions = z.object({
  freezeBlocks: z
    .enum(["off", "linear"])
    .default("off")
    .describe("freeze whole blocks one after the other, starting at the input, evenly over time (linear)"),
  freezeBlocksEarliest: duration.describe(`no block freezes before this point of training (default: ${EARLIEST})`),
  freezeBlocksMost: z.int().positive().optional().describe("limit on frozen blocks (default: all but the last)"),
  freezeBlocksInterval: duration
    .describe(`training between two checks of the blocks (default: ${INTERVAL})`)
    .meta(sameStepCost),
});

export type BlockFreezingSettings = Partial<z.output<typeof blockFreezingOptions>>;

/** Whether blocks may freeze. */
export const freezesBlocks = ({ freezeBlocks = "off" }: BlockFreezingSettings): boolean => freezeBlocks !== "off";

/** The trainable parameters of a model by block. */
export interface BlocksOfModel {
  /** Name of the method, for messages. */
  method: string;
  /** Names of trainable parameters by block, starting at the input: those that a block reads and no earlier block does. */
  trained: readonly (readonly string[])[];
  /** Those of them that the method's own schedule freezes. */
  freezable: readonly string[];
}

/**
 * Combines a method's schedule with one for whole blocks. A block freezes only after the method's own schedule has frozen all of
 * the block's parameters that it freezes.
 * @param make makes the method's own schedule, from a saved state if there is one
 * @param state from this schedule's `state`
 * @throws UserError if the method or the model has no blocks that could freeze, or the options contradict each other
 */
export function withBlockFreezing(
  make: (state: MethodState | undefined) => Schedule,
  settings: BlockFreezingSettings,
  { method, trained, freezable }: BlocksOfModel,
  run: RunLength,
  state?: MethodState,
): Schedule {
  if (!freezesBlocks(settings)) {
    const own = blockFreezingOptions.omit({ freezeBlocks: true }).keyof().options;
    const given = own.find((name) => settings[name] !== undefined);
    if (given) throw new UserError(`${opt(given)} requires ${opt("freezeBlocks")}, which is off; set it to linear`);
    return make(state);
  }
  const saved = state && savedState(state);
  const own = make(saved?.method);
  if (own.afterStep) {
    throw new UserError(
      `method "${method}" changes parameters of all blocks to the end of training, so none can freeze; leave freezeBlocks off`,
    );
  }
  const schedule = blockSchedule(settings, { trained, freezable }, run);
  const controller = new BlockController(schedule, saved?.boundary);
  let latest: FrozenBlocks = { count: 0, parameters: new Set() };
  const frozenBlocks = (): FrozenBlocks => {
    const { boundary } = controller;
    // This is called at every step, but changes at few of them.
    if (latest.count !== boundary) latest = { count: boundary, parameters: new Set(trained.slice(0, boundary).flat()) };
    return latest;
  };
  const lastCheck = Math.floor((run.totalSteps - 1) / schedule.interval) * schedule.interval;
  const tooShort =
    lastCheck < Math.max(1, schedule.earliestStep)
      ? `the run's ${run.totalSteps} steps are too few for blocks to freeze: no check comes after step ${schedule.earliestStep}; train longer, or give a smaller freezeBlocksInterval or freezeBlocksEarliest`
      : undefined;
  const notes = [own.note, tooShort].filter((note) => note !== undefined);
  return {
    ...own,
    note: notes.length > 0 ? notes.join("; ") : undefined,
    frozenBlocks,
    workLeft: workLeft(schedule),
    trainable() {
      const { parameters } = frozenBlocks();
      return new Set([...own.trainable()].filter((name) => !parameters.has(name)));
    },
    observe(step, gradients, parameters) {
      const check = own.observe?.(step, gradients, parameters);
      let trainable: ReadonlySet<string> | undefined;
      const blocks = controller.observe(step, (name) => {
        trainable ??= own.trainable();
        return !trainable.has(name);
      });
      if (!blocks) return check;
      return { ...(check ?? { step, fraction: 0, threshold: null, scores: {}, frozen: [] }), blocks };
    },
    state: () => stateOf(own.state?.(), controller.boundary),
  };
}

/** Schedule of the blocks. @throws UserError if no block can freeze, or more than the model has. */
function blockSchedule(
  settings: BlockFreezingSettings,
  { trained, freezable }: Pick<BlocksOfModel, "trained" | "freezable">,
  run: RunLength,
): BlockSchedule {
  if (trained.length === 0) {
    throw new UserError("the model does not distinguish its blocks, so none can freeze; leave freezeBlocks off");
  }
  const most = settings.freezeBlocksMost ?? Math.max(1, trained.length - 1);
  if (most > trained.length) {
    throw new UserError(
      `${opt("freezeBlocksMost")} is ${most}, but the model has ${trained.length} blocks; give fewer`,
    );
  }
  const methodFreezes = new Set(freezable);
  return {
    totalSteps: run.totalSteps,
    interval: Math.max(1, resolveDuration(settings.freezeBlocksInterval ?? INTERVAL, run)),
    earliestStep: resolveDuration(settings.freezeBlocksEarliest ?? EARLIEST, run),
    most,
    awaits: trained.map((names) => names.filter((name) => methodFreezes.has(name))),
  };
}

/** Adds the number of frozen blocks to the state of the method's own schedule, in the form of earlier versions. */
const stateOf = (method: MethodState | undefined, boundary: number): MethodState => ({
  scalars: { method: method?.scalars ?? null, blocks: { boundary, values: [] } },
  tensors: method?.tensors ?? new Map(),
});

const savedScalars = z.object({
  method: z.record(z.string(), z.unknown()).nullable(),
  blocks: z.object({ boundary: z.int().nonnegative() }),
});

function savedState({ scalars, tensors }: MethodState): { method: MethodState | undefined; boundary: number } {
  const read = savedScalars.safeParse(scalars);
  if (!read.success) {
    throw new UserError(
      `the saved state of the blocks' schedule is damaged; restore the checkpoint from a copy, or run again with ${opt("overwrite")}`,
    );
  }
  const { method, blocks } = read.data;
  return { method: method === null ? undefined : { scalars: method, tensors }, boundary: blocks.boundary };
}
