import { z } from "zod";
import { inWords, UserError } from "../errors.ts";
import type { MethodDefinition } from "../methods/method.ts";
import { findMethod, parseMethodOptions } from "../methods/methods.ts";
import type { PublishedSetting } from "../methods/published.ts";
import { BASE_FORMATS, type BaseFormat } from "../models/base-format.ts";
import type { TrainingSettings } from "../training/train.ts";
import type { HeadChoice } from "./head.ts";

const positive = z.number().positive();
const count = z.int().positive();

/** Options of training beside the method's own, wherever it runs. */
export const trainingOptions = z.object({
  classWeights: z
    .literal("balanced")
    .optional()
    .describe("weigh classes so that rare ones count as much as common ones"),
  base: z
    .enum(BASE_FORMATS)
    .default("float32")
    .describe("how the frozen base model is stored and multiplied in training; exports and predictions use float32"),
  head: z
    .enum(["new", "all", "classifier"])
    .default("new")
    .describe(
      "parts of the head that train: newly made ones and the classifier, all, or the classifier's matrix alone",
    ),
  epochs: count.optional().describe("passes over the training examples (the paper's for a GLUE task, else 10)"),
  batchSize: count.default(64).describe("examples of one optimizer step"),
  tokenBudget: count.default(512).describe("most tokens computed at once; gradients are summed over micro-batches"),
  learningRate: positive.optional().describe("peak learning rate (the paper's for a GLUE task, else the method's)"),
  headLearningRate: positive.optional().describe("peak learning rate of the head"),
  weightDecay: z.number().min(0).default(0.1).describe("AdamW's weight decay"),
  warmupRatio: z.number().min(0).max(1).default(0.06).describe("share of the steps over which the learning rate rises"),
  maxGradNorm: positive.default(0.1).describe("global norm to which gradients are clipped"),
  maxLength: count.default(256).describe("tokens after which examples are cut"),
  dropout: z.boolean().default(true).describe("dropout, where the model's config has it"),
  patience: count.optional().describe("stop after this many epochs without a better evaluation"),
  seed: z
    .int()
    .min(0)
    .max(2 ** 32 - 1)
    .default(42)
    .describe("of initial values, order of examples and dropout"),
});

/** The same with what else fine-tuning asks for, all resolved. */
export interface FineTuningSettings extends TrainingSettings {
  base: BaseFormat;
  head: HeadChoice;
  /** Tokens after which examples are cut. */
  maxLength: number;
  classWeights?: "balanced" | undefined;
}

/** A method by name, with its options as its schema gives them. */
export interface MethodChoice {
  name: string;
  options: Record<string, unknown>;
}

/**
 * Options through a schema.
 * @throws UserError naming the option that is malformed.
 */
export function checkOptions<Schema extends z.ZodType>(schema: Schema, given: object): z.output<Schema> {
  const result = schema.safeParse(given, { error: inWords });
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`option "${issue!.path.join(".")}": ${issue!.message}`);
}

/**
 * Parts options given side by side into those of `schema` and the method's own.
 * @param name of the method
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
  return { options, method: { name, options: parseMethodOptions(findMethod(name), others, own) } };
}

/** What is not given is the paper's for its task, or the method's. */
export function withRecipe<Given extends z.output<typeof trainingOptions>>(
  given: Given,
  method: MethodDefinition,
  paper?: { epochs?: number | undefined; rates?: PublishedSetting | undefined },
): Given & Pick<TrainingSettings, "epochs" | "learningRate" | "headLearningRate"> {
  const { learningRate, headLearningRate } = paper?.rates ?? method.recipe;
  return {
    ...given,
    epochs: given.epochs ?? paper?.epochs ?? 10,
    learningRate: given.learningRate ?? learningRate,
    headLearningRate: given.headLearningRate ?? headLearningRate,
  };
}
