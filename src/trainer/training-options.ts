import { z } from "zod";
import { checkOptions } from "../inference/check-options.ts";
import { type BlockFreezingSettings, blockFreezingOptions } from "../methods/block-freezing.ts";
import type { MethodDefinition } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { PublishedSetting } from "../methods/published.ts";
import { BASE_FORMATS, type BaseFormat } from "../models/base-format.ts";
import { EMBEDDING_LOSSES } from "../tasks/losses/embedding-losses.ts";
import { type GivenTaskOptions, LOSS_ON, type LossOn, type TaskKind } from "../tasks/task-kind.ts";
import { TASK_KINDS } from "../tasks/task-kinds.ts";
import { PACKED_FORMATS } from "../training/frozen-blocks/packed-rows.ts";
import { BLOCK_CACHE, type TrainingSettings } from "../training/train-options.ts";
import type { HeadChoice } from "./head.ts";

const positive = z.number().positive();
const count = z.int().positive();

/** What a run has where neither it, nor a paper, nor its kind of task says. */
const RECIPE = { epochs: 10, batchSize: 64, maxLength: 256 };

/** That, and what kinds of tasks have in its place. */
function defaultOf(name: keyof typeof RECIPE): string {
  const others = TASK_KINDS.flatMap((kind) => (kind.recipe ? [`; ${kind.name}: ${kind.recipe[name]}`] : []));
  return RECIPE[name] + others.join("");
}

/** Options of training beside the method's own, wherever it runs. */
export const trainingOptions = z.object({
  classWeights: z
    .literal("balanced")
    .optional()
    .describe("weigh classes so that rare ones count as much as common ones"),
  loss: z
    .string()
    .optional()
    .describe(`loss of an embedding: ${Object.keys(EMBEDDING_LOSSES).join(", ")} (by what the examples are)`),
  dimensions: z
    .string()
    .optional()
    .describe("sizes to which embeddings may be cut, such as 384,128,64: each is trained (Matryoshka)"),
  bothDirections: z.boolean().optional().describe("multiple-negatives-ranking of anchors against positives, too"),
  margin: positive.optional().describe("margin of the losses triplet and contrastive (0.5)"),
  prefix: z
    .string()
    .optional()
    .describe('what stands before each text of which another is written, such as "summarize: " for T5'),
  maxTargetLength: count.optional().describe("tokens after which texts that are to be written of others are cut (128)"),
  base: z
    .enum(BASE_FORMATS)
    .default("float32")
    .describe(
      "how the frozen base model is stored and multiplied in training; what is exported or asked uses float32 where it fits",
    ),
  head: z
    .enum(["new", "all", "classifier"])
    .default("new")
    .describe(
      "parts of the head that train: newly made ones and the classifier, all, or the classifier's matrix alone",
    ),
  epochs: count
    .optional()
    .describe(`passes over the training examples (the paper's for its tasks, else ${defaultOf("epochs")})`),
  batchSize: count.optional().describe(`examples of one optimizer step (${defaultOf("batchSize")})`),
  tokenBudget: count.default(512).describe("most tokens computed at once; gradients are summed over micro-batches"),
  recompute: z
    .boolean()
    .default(false)
    .describe("keep one hidden state a block and compute the block again in the backward pass: slower, in less memory"),
  learningRate: positive.optional().describe("peak learning rate (the paper's for a GLUE task, else the method's)"),
  headLearningRate: positive.optional().describe("peak learning rate of the head"),
  weightDecay: z.number().min(0).default(0.1).describe("AdamW's weight decay"),
  warmupRatio: z.number().min(0).max(1).default(0.06).describe("share of the steps over which the learning rate rises"),
  warmupSteps: z.int().min(0).optional().describe("the same in steps, in place of a share"),
  maxGradNorm: positive.default(0.1).describe("global norm to which gradients are clipped"),
  maxLength: count.optional().describe(`tokens after which examples are cut (${defaultOf("maxLength")})`),
  lossOn: z
    .enum(LOSS_ON)
    .optional()
    .describe("what of a text counts, of kinds that learn to write: every turn of the assistant, its last one, or all"),
  dropout: z.boolean().default(true).describe("dropout, where the model's config or the method has it"),
  ...blockFreezingOptions.shape,
  freezeBlocksCache: z
    .enum([...PACKED_FORMATS, "none"])
    .optional()
    .describe(
      `how the hidden states of blocks that have left are kept by example; none computes them again at each step (${BLOCK_CACHE.format})`,
    ),
  freezeBlocksMemory: z
    .number()
    .min(0)
    .optional()
    .describe(`MB of memory that they may take; more goes to a file in the run folder (${BLOCK_CACHE.memory})`),
  evaluateEvery: count
    .optional()
    .describe("evaluate after every so many steps, and at the end, in place of after each epoch"),
  patience: count
    .optional()
    .describe("stop after this many evaluations, of which each epoch has one, without a better one"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(42)
    .describe("of initial values, order of examples and dropout"),
});

/** The same with what else fine-tuning asks for, all resolved. */
export interface FineTuningSettings extends TrainingSettings, GivenTaskOptions, BlockFreezingSettings {
  base: BaseFormat;
  head: HeadChoice;
  /** Tokens after which examples are cut. */
  maxLength: number;
  classWeights?: "balanced" | undefined;
  /** What of a text counts, of kinds that learn to write; as the kind has it where absent. */
  lossOn?: LossOn | undefined;
}

/** A method by name, with its options as its schema gives them. */
export interface MethodChoice {
  name: string;
  options: Record<string, unknown>;
}

/**
 * Parts options given side by side into those of `schema` and the method's own.
 * @param name of the method, or an alias
 * @throws UserError naming the option that is unknown, of another method, missing or malformed.
 */
export function partOptions<Schema extends z.ZodObject>(
  schema: Schema,
  name: string,
  given: Readonly<Record<string, unknown>>,
): { options: z.output<Schema>; method: MethodChoice } {
  const own = Object.keys(schema.shape);
  const present = Object.entries(given).filter(([, value]) => value !== undefined);
  const options = checkOptions(schema, Object.fromEntries(present.filter(([key]) => own.includes(key))));
  const others = Object.fromEntries(present.filter(([key]) => !own.includes(key)));
  const definition = findMethod(name);
  return { options, method: { name: definition.name, options: parseMethodOptions(definition, others, own) } };
}

/** What is not given is the paper's for its task, the kind's, or the method's. */
export function withRecipe<Given extends z.output<typeof trainingOptions>>(
  given: Given,
  method: MethodDefinition,
  from: {
    epochs?: number | undefined;
    rates?: PublishedSetting | undefined;
    kind?: Pick<TaskKind, "recipe"> | undefined;
  } = {},
): Given & Pick<FineTuningSettings, "epochs" | "batchSize" | "maxLength" | "learningRate" | "headLearningRate"> {
  const { learningRate, headLearningRate } = { ...method.recipe, ...from.rates };
  const recipe = { ...RECIPE, ...from.kind?.recipe };
  return {
    ...given,
    epochs: given.epochs ?? from.epochs ?? recipe.epochs,
    batchSize: given.batchSize ?? recipe.batchSize,
    maxLength: given.maxLength ?? recipe.maxLength,
    learningRate: given.learningRate ?? learningRate,
    headLearningRate: given.headLearningRate ?? headLearningRate,
  };
}
