import { z } from "zod";
import { UserError } from "../errors.ts";
import { findMethod, METHOD_NAMES, parseMethodOptions } from "../methods/methods.ts";
import { nodeRuntime } from "../runtime/runtime-node.ts";
import { DEVICES, type Device, type Runtime } from "../runtime/session.ts";
import { AFLORA_RECIPES } from "../training/recipes.ts";

const positive = z.number().positive();
const count = z.int().positive();
const share = z.number().min(0).max(1);

/** Options of a run beside those of its method. Each is a flag of `aflora train` and a key of its config file. */
export const runOptions = z.object({
  model: z
    .string()
    .min(1)
    .optional()
    .describe("model folder, or owner/name[@revision] on the hub; the bundled all-MiniLM-L6-v2 where absent"),
  revision: z.string().min(1).optional().describe("branch, tag or commit of a model on the hub (main)"),
  offline: z.boolean().optional().describe("ask no hub: models and data sets from its cache alone"),
  method: z
    .string()
    .default("aflora")
    .describe(`fine-tuning method: ${METHOD_NAMES.join(", ")}`),
  adapter: z
    .string()
    .min(1)
    .optional()
    .describe("adapter to go on from: a run's, or one that Hugging Face PEFT made; its method and base model are used"),
  task: z.string().optional().describe("GLUE task, read from --data"),
  data: z.string().optional().describe("folder with the official GLUE folders, or with the task's own files"),
  train: z.string().optional().describe("training examples: CSV, TSV or JSONL file"),
  validation: z.string().optional().describe("validation examples, likewise"),
  dataset: z.string().min(1).optional().describe("training and validation examples: owner/name[@revision] on the hub"),
  datasetConfig: z.string().min(1).optional().describe("which part of --dataset, such as cola of nyu-mll/glue"),
  validationSplit: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe(
      "share of the training examples to hold out and validate on (0.1 of --train without --validation; else the task's own validation data)",
    ),
  text: z.string().optional().describe("column of the text"),
  textPair: z.string().optional().describe("column of the second text of a pair"),
  label: z.string().optional().describe("column of the label"),
  kind: z
    .enum(["classification", "regression", "multi-label", "token-classification"])
    .optional()
    .describe("what to predict; told by the labels where absent"),
  classWeights: z
    .literal("balanced")
    .optional()
    .describe("weigh classes so that rare ones count as much as common ones"),
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
  warmupRatio: share.default(0.06).describe("share of the steps over which the learning rate rises"),
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
  threads: count.optional().describe("threads to compute with (all cores)"),
  device: z
    .enum(DEVICES as ["cpu", "webgpu", "cuda"])
    .default("cpu")
    .describe("where to compute"),
  output: z.string().min(1).optional().describe("run folder to write (runs/<task>-<method>-<date>)"),
});

/** The options among them that say where to compute. */
export const computeOptions = runOptions.pick({ device: true, threads: true });

/** @throws UserError where an option is malformed, or the device is not there. */
export function runtimeFor(given: { device?: Device | undefined; threads?: number | undefined }): Runtime {
  const { device, threads } = checked(computeOptions, given);
  return nodeRuntime({ device, ...(threads !== undefined && { threads }) });
}

function checked<Schema extends z.ZodType>(schema: Schema, given: object): z.output<Schema> {
  const result = schema.safeParse(given);
  if (result.success) return result.data;
  const [issue] = result.error.issues;
  throw new UserError(`option "${issue!.path.join(".")}": ${issue!.message}`);
}

/** A run's options with every default filled in. */
export type RunConfig = z.output<typeof runOptions> & {
  epochs: number;
  learningRate: number;
  headLearningRate: number;
  /** The method's own options, among the others. */
  [methodOption: string]: unknown;
};

/**
 * Checks options given as flags, config file or library call, and fills in defaults: the paper's for a GLUE task.
 * @throws UserError naming the option that is unknown, of another method, missing or malformed.
 */
export function resolveConfig(given: Readonly<Record<string, unknown>>): RunConfig {
  const own = Object.keys(runOptions.shape);
  const present = Object.entries(given).filter(([, value]) => value !== undefined);
  const config = checked(runOptions, Object.fromEntries(present.filter(([key]) => own.includes(key))));
  if ([config.task, config.train, config.dataset].filter((source) => source !== undefined).length !== 1) {
    throw new UserError(
      "give either a GLUE task (--task cola --data DIR), your own examples (--train FILE) or a data set of the hub (--dataset OWNER/NAME)",
    );
  }
  if (config.task !== undefined && config.data === undefined) {
    throw new UserError(`where are the files of task "${config.task}"? Give their folder with --data DIR`);
  }
  for (const [option, source] of [
    ["validation", "train"],
    ["datasetConfig", "dataset"],
  ] as const) {
    if (config[option] !== undefined && config[source] === undefined) {
      throw new UserError(`option "${option}" goes with "${source}", which is not given; leave it out`);
    }
  }
  const method = findMethod(config.method);
  const methodOptions = parseMethodOptions(
    method,
    Object.fromEntries(present.filter(([key]) => !own.includes(key))),
    own,
  );
  const ofGlue = /\/glue(@|$)/.test(config.dataset ?? "") ? config.datasetConfig : undefined;
  const task = (config.task ?? ofGlue)?.toLowerCase().replace(/[^a-z0-9]/g, "");
  const published = method.name === "aflora" && task !== undefined ? AFLORA_RECIPES[task] : undefined;
  const recipe = { epochs: 10, ...method.recipe, ...published };
  const learningRate = config.learningRate ?? recipe.learningRate;
  return {
    ...config,
    ...methodOptions,
    epochs: config.epochs ?? (task !== undefined ? (AFLORA_RECIPES[task]?.epochs ?? 10) : recipe.epochs),
    learningRate,
    headLearningRate: config.headLearningRate ?? recipe.headLearningRate,
  };
}
