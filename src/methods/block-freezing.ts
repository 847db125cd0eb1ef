import { z } from "zod";
import { UserError } from "../errors.ts";
import { sizeOf, type Tensor, type Tensors } from "../graph/tensor.ts";
import { BlockController, type BlockControllerState } from "./freezing/block-controller.ts";
import { BLOCK_RULES, type BlockRuleName, type BlockSchedule, workLeft } from "./freezing/block-rules.ts";
import type { FrozenBlocks, MethodState, RunLength, Schedule } from "./method.ts";
import { duration, resolveDuration } from "./options.ts";

/** Defaults by rule. */
const DEFAULTS: Readonly<Record<BlockRuleName, { threshold: number; interval: string }>> = {
  linear: { threshold: 0, interval: "1%" },
  // The median, as in the paper; as many intervals as in its released command.
  autofreeze: { threshold: 0.5, interval: "5%" },
};
const EARLIEST = "30%";

/** Options of a schedule for whole blocks. A method supports them if only gradients change its parameters. */
export const blockFreezingOptions = z.object({
  freezeBlocks: z
    .enum(["off", ...BLOCK_RULES])
    .default("off")
    .describe("freeze whole blocks for good, starting at the input: evenly over time, or by AutoFreeze's rule"),
  freezeBlocksThreshold: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(
      `autofreeze: quantile of the gradients' changes below which a block freezes (default: ${DEFAULTS.autofreeze.threshold})`,
    ),
  freezeBlocksEarliest: duration.describe(`no block freezes before this point of training (default: ${EARLIEST})`),
  freezeBlocksMost: z.int().positive().optional().describe("limit on frozen blocks (default: all but the last)"),
  freezeBlocksInterval: duration.describe(
    `training between two checks of the blocks (default: ${DEFAULTS.linear.interval}; autofreeze: ${DEFAULTS.autofreeze.interval})`,
  ),
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
  /** Shape of a parameter by name. */
  shapeOf(name: string): readonly number[];
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
  { method, trained, freezable, shapeOf }: BlocksOfModel,
  run: RunLength,
  state?: MethodState,
): Schedule {
  const { freezeBlocks: rule = "off" } = settings;
  if (rule === "off") {
    const own = blockFreezingOptions.omit({ freezeBlocks: true }).keyof().options;
    const given = own.find((name) => settings[name] !== undefined);
    if (given)
      throw new UserError(
        `option "${given}" requires "freezeBlocks", which is off; set it to ${BLOCK_RULES.join(" or ")}`,
      );
    return make(state);
  }
  const saved = state && savedState(state);
  const own = make(saved?.method);
  if (own.afterStep) {
    throw new UserError(
      `method "${method}" changes parameters of all blocks to the end of training, so none can freeze; leave freezeBlocks off`,
    );
  }
  const schedule = blockSchedule(rule, settings, { trained, freezable, shapeOf }, run);
  const controller = new BlockController(schedule, saved?.blocks);
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
      const blocks = controller.observe(step, gradients, (name) => {
        trainable ??= own.trainable();
        return !trainable.has(name);
      });
      if (!blocks) return check;
      return { ...(check ?? { step, fraction: 0, threshold: null, scores: {}, frozen: [] }), blocks };
    },
    state: () => stateOf(own.state?.(), controller.state()),
  };
}

/** Schedule of a rule, with the parameters of each block. @throws UserError if no block can freeze, or more than the model has. */
function blockSchedule(
  rule: BlockRuleName,
  settings: BlockFreezingSettings,
  { trained, freezable, shapeOf }: Omit<BlocksOfModel, "method">,
  run: RunLength,
): BlockSchedule {
  if (trained.length === 0) {
    throw new UserError("the model does not distinguish its blocks, so none can freeze; leave freezeBlocks off");
  }
  const most = settings.freezeBlocksMost ?? Math.max(1, trained.length - 1);
  if (most > trained.length) {
    throw new UserError(`option "freezeBlocksMost" is ${most}, but the model has ${trained.length} blocks; give fewer`);
  }
  const { threshold, interval } = DEFAULTS[rule];
  const every = resolveDuration(settings.freezeBlocksInterval ?? interval, run)!;
  const earliestStep = resolveDuration(settings.freezeBlocksEarliest ?? EARLIEST, run)!;
  const methodFreezes = new Set(freezable);
  return {
    rule,
    totalSteps: run.totalSteps,
    interval: Math.max(1, every),
    earliestStep,
    most,
    threshold: settings.freezeBlocksThreshold ?? threshold,
    blocks: trained.map((names) => ({
      parameters: names
        .filter((name) => !methodFreezes.has(name))
        .map((name) => ({ name, size: sizeOf(shapeOf(name)) })),
      awaits: names.filter((name) => methodFreezes.has(name)),
    })),
  };
}

/** Prefix of the names of the block schedule's tensors, which separates them from those of the method. */
const PREFIX = "blocks:";

function stateOf(method: MethodState | undefined, blocks: BlockControllerState): MethodState {
  const own = [...blocks.tensors].map(([name, tensor]) => [PREFIX + name, tensor] as const);
  return {
    scalars: { method: method?.scalars ?? null, blocks: blocks.scalars },
    tensors: new Map([...(method?.tensors ?? []), ...own]),
  };
}

const savedScalars = z.object({
  method: z.record(z.string(), z.unknown()).nullable(),
  blocks: z.object({ boundary: z.int().nonnegative(), values: z.array(z.number().nullable()) }),
});

function savedState({ scalars, tensors }: MethodState): {
  method: MethodState | undefined;
  blocks: BlockControllerState;
} {
  const read = savedScalars.safeParse(scalars);
  if (!read.success) {
    throw new UserError(
      "the saved state of the blocks' schedule is damaged; restore the checkpoint from a copy, or run again with --overwrite",
    );
  }
  const { method, blocks } = read.data;
  const part = (own: boolean): Tensors<"float32"> =>
    new Map<string, Tensor<"float32">>(
      [...tensors].flatMap(([name, tensor]) =>
        name.startsWith(PREFIX) === own ? [[own ? name.slice(PREFIX.length) : name, tensor]] : [],
      ),
    );
  return {
    method: method === null ? undefined : { scalars: method, tensors: part(false) },
    blocks: { scalars: blocks, tensors: part(true) },
  };
}
