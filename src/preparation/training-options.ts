import { z } from "zod";
import { BASE_FORMATS, type BaseFormat } from "../architectures/base-format.ts";
import { HEAD_FEATURES, type HeadFeatures } from "../architectures/heads.ts";
import { checkOptions } from "../errors.ts";
import { type BlockFreezingSettings, blockFreezingOptions } from "../methods/block-freezing.ts";
import type { MethodDefinition } from "../methods/method.ts";
import { DEFAULT_METHOD, DEFAULT_METHODS, findMethod, parseMethodOptions } from "../methods/methods.ts";
import { sameStepCost } from "../methods/options.ts";
import { repeatsPapers } from "../methods/published.ts";
import type { TaskOptionValues } from "../tasks/task-kind.ts";
import { checkTaskOptions, TASK_KINDS } from "../tasks/task-kinds.ts";
import { PACKED_FORMATS } from "../training/frozen-blocks/packed-rows.ts";
import { REPLICAS } from "../training/local-steps/local-steps.ts";
import { BLOCK_CACHE, type TrainingSettings } from "../training/train-options.ts";
import { defaultMethod } from "./default-method.ts";
import { defaultOf, headStartOf, type KnownRun } from "./defaults.ts";
import type { HeadChoice } from "./trained-head.ts";

const positive = z.number().positive();
/** Counts with an upper limit, since memory or time grow with each. */
const count = z.int().positive().max(1e9);

/** Options of training, in Node and in a page, beside those of the method and of the kind of task. */
export const trainingOptions = z.object({
  base: z
    .enum(BASE_FORMATS)
    .default("float32")
    .describe(
      "number format of the frozen base model in training; export and prediction use float32 if it fits into memory",
    ),
  head: z
    .enum(["new", "all", "classifier"])
    .default("new")
    .describe("parts of the head that train: new parameters and the classifier, all of it, or the classifier alone")
    .meta(repeatsPapers),
  headStart: z
    .enum(["fitted", "new"])
    .optional()
    .describe(
      `start of the head: fitted (a logistic or ridge regression on the frozen model's features) or new random values ${defaultOf("headStart")}`,
    ),
  headFeatures: z
    .enum(HEAD_FEATURES)
    .optional()
    .describe("features that a fitted head for whole texts reads (default: the best by cross-validation)"),
  contrastive: z
    .boolean()
    .optional()
    .describe(`contrastive training: texts of the same class get similar vectors ${defaultOf("contrastive")}`),
  epochs: z
    .int()
    .min(0)
    .max(1e6)
    .optional()
    .describe(`passes over the rows; 0 fits the head ${defaultOf("epochs")}`)
    .meta(sameStepCost),
  maxSteps: count
    .optional()
    .describe("optimizer steps of the run, instead of --epochs; the examples repeat as needed")
    .meta(sameStepCost),
  batchSize: count.optional().describe(`examples per optimizer step ${defaultOf("batchSize")}`),
  tokenBudget: count.default(512).describe("limit on tokens per micro-batch; gradients are summed over micro-batches"),
  recompute: z
    .boolean()
    .default(false)
    .describe(
      "keep one hidden state per block and recompute the rest in the backward pass: slower, but needs less memory",
    ),
  learningRate: positive
    .optional()
    .describe(`peak learning rate ${defaultOf("learningRate")}`)
    .meta(sameStepCost),
  headLearningRate: positive.optional().describe("peak learning rate of the head").meta(sameStepCost),
  weightDecay: z.number().min(0).default(0.1).describe("AdamW's weight decay").meta(sameStepCost),
  warmupRatio: z
    .number()
    .min(0)
    .max(1)
    .optional()
    .describe(`share of the steps in which the learning rate rises ${defaultOf("warmupRatio")}`)
    .meta(sameStepCost),
  warmupSteps: z.int().min(0).optional().describe("number of warm-up steps, instead of --warmup-ratio"),
  maxGradNorm: positive.default(0.1).describe("global norm to which gradients are clipped").meta(sameStepCost),
  maxLength: count
    .optional()
    .describe(`limit on tokens per example; longer ones are truncated ${defaultOf("maxLength")}`),
  dropout: z
    .boolean()
    .default(true)
    .describe("dropout, if the model's config or the method has it")
    .meta(repeatsPapers),
  ...blockFreezingOptions.shape,
  freezeBlocksCache: z
    .enum([...PACKED_FORMATS, "none"])
    .optional()
    .describe(
      `number format of the cached hidden states of frozen blocks; none recomputes them at every step (default: ${BLOCK_CACHE.format})`,
    )
    .meta(sameStepCost),
  freezeBlocksMemory: z
    .number()
    .min(0)
    .optional()
    .describe(
      `limit on that cache's memory in MB; the rest goes to a file in the run folder (default: ${BLOCK_CACHE.memory})`,
    )
    .meta(sameStepCost),
  evaluateEvery: count.optional().describe("evaluate every n steps and at the end, instead of after each epoch"),
  evaluateSamples: z
    .union([count, z.literal("all")])
    .optional()
    .describe(
      "validation examples to evaluate: a stratified part, or all (default: all of a published task, otherwise 10,000, or 5 of each class if that is more)",
    ),
  localSteps: count
    .max(10_000)
    .optional()
    .describe(
      "steps that each replica takes alone before their adapters are joined (DiLoCo), for slow networks with --queue",
    ),
  replicas: count
    .max(1024)
    .optional()
    .describe(`with --local-steps: replicas, which share each batch (default: ${REPLICAS})`),
  patience: count
    .optional()
    .describe("early stopping: stop after n evaluations without an improvement")
    .meta(sameStepCost),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(42)
    .describe("seed of initial values, order of examples and dropout")
    .meta(sameStepCost),
});

/** All settings of fine-tuning, each with its value. */
export interface FineTuningSettings extends TrainingSettings, BlockFreezingSettings {
  base: BaseFormat;
  head: HeadChoice;
  headStart: "fitted" | "new";
  contrastive: boolean;
  headFeatures?: HeadFeatures | undefined;
  /** Number of tokens after which examples are cut. */
  maxLength: number;
  /** Validation examples to evaluate (default: as many as a comparison of scores needs). */
  evaluateSamples?: number | "all" | undefined;
  /** Options of the kind of task as they were given; the kind fills in the others when the examples are read. */
  taskOptions: TaskOptionValues;
}

/** A method by name, with its parsed options. */
export interface MethodChoice {
  name: string;
  options: Record<string, unknown>;
}

/**
 * Splits options that are given side by side into those of `schema`, of the kind of task and of the method.
 * @param name the method by its name or an alias
 * @throws UserError naming the option that is unknown, belongs to another method or kind, is missing or malformed
 */
export function partOptions<Schema extends z.ZodObject>(
  schema: Schema,
  name: string,
  given: Readonly<Record<string, unknown>>,
): { options: z.output<Schema> & { taskOptions: TaskOptionValues }; method: MethodChoice } {
  const definition = findMethod(name);
  const ownerOf = (option: string): "run" | "method" | "task" => {
    if (option in schema.shape) return "run";
    return option in definition.options.shape || !TASK_KINDS.schemaOf(option) ? "method" : "task";
  };
  const partOf = (owner: string): Record<string, unknown> =>
    Object.fromEntries(
      Object.entries(given).filter(([option, value]) => value !== undefined && ownerOf(option) === owner),
    );
  const taskOptions = partOf("task");
  const options = { ...checkOptions(schema, partOf("run")), taskOptions };
  checkTaskOptions(taskOptions, typeof given.kind === "string" ? given.kind : undefined);
  const known = [...Object.keys(schema.shape), ...TASK_KINDS.optionNames];
  return {
    options,
    method: { name: definition.name, options: parseMethodOptions(definition, partOf("method"), known) },
  };
}

/** Options whose method is open until the examples are read, if none is named. */
interface OpenOptions<Options> {
  options: Options & { taskOptions: TaskOptionValues };
  /** Returns the named method, or the default for these examples. */
  methodFor(from: KnownRun): MethodChoice;
}

/**
 * Splits options as {@link partOptions} does. If no method is named, the examples choose among the default methods that have all given
 * options.
 * @param name the method by its name or an alias
 * @throws UserError as {@link partOptions}
 */
export function partOpenOptions<Schema extends typeof trainingOptions>(
  schema: Schema,
  name: string | undefined,
  given: Readonly<Record<string, unknown>>,
): OpenOptions<z.output<Schema>> {
  const asked = Object.keys(given).filter((option) => given[option] !== undefined && !(option in schema.shape));
  const fits = ({ options }: MethodDefinition): boolean =>
    asked.every((option) => option in options.shape || TASK_KINDS.schemaOf(option));
  const open = name === undefined ? DEFAULT_METHODS.filter(fits) : [findMethod(name)];
  const { options, method } = partOptions(schema, (open[0] ?? DEFAULT_METHOD).name, given);
  const other = open[1] && partOptions(schema, open[1].name, given).method;
  return {
    options,
    methodFor(from) {
      const { name } = defaultMethod(from.kind, headStartOf(options, from), from.layers);
      return other?.name === name ? other : method;
    },
  };
}
