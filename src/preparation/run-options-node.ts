import { existsSync } from "node:fs";
import { resolve } from "node:path";
import { z } from "zod";
import { ANSWER_FORMATS } from "../architectures/base-format.ts";
import { BUNDLED_MODEL } from "../base-models/bundled-model.ts";
import { opt, UserError } from "../errors.ts";
import {
  DEFAULT_METHOD,
  FITTED_HEAD_METHOD,
  findMethod,
  METHODS,
  methodNameIn,
  PAPER_METHOD,
} from "../methods/methods.ts";
import { type PublishedSetting, publishedOptions, repeatsPapers } from "../methods/published.ts";
import { computeOptions } from "../runtime/compute-options.ts";
import type { TaskData } from "../tasks/example.ts";
import { glueTaskName } from "../tasks/glue.ts";
import { namesReward, REWARD_PATHS } from "../tasks/reward-functions.ts";
import { rowOptions } from "../tasks/small-classes.ts";
import { SUMMARIZATION, summarizationIn } from "../tasks/summarization.ts";
import { findTaskKind, TASK_KINDS } from "../tasks/task-kinds.ts";
import { type SuitedModel, suitedTo } from "./suited-to.ts";
import {
  type FineTuningSettings,
  type MethodChoice,
  partOpenOptions,
  partOptions,
  type SuitedTo,
  trainingOptions,
  withRecipe,
} from "./training-options.ts";

/** Format of `checkpointEvery`: `200` is every 200 steps, `60s` every 60 seconds. */
export const CHECKPOINT_INTERVAL = /^(?:[1-9]\d*|(?!0+(?:\.0*)?s)\d+(?:\.\d+)?s)$/;

/** Whether a text names a log of a run. Accounts of servers are in the environment, because options are stored. */
const isLog = (text: string): boolean => {
  const [, url] = /^mlflow=(https?:.*)$/.exec(text) ?? [];
  return url === undefined ? text === "tensorboard" : URL.canParse(url) && new URL(url).username === "";
};

/** Options of a run beside those of its method. Each is a flag of `aflora train` and a key of its config file. */
export const runOptions = z.object({
  model: z
    .string()
    .min(1)
    .optional()
    .describe(
      "model folder, GGUF or ONNX file, or owner/name[@revision] on the hub (default: the bundled all-MiniLM-L6-v2)",
    ),
  revision: z.string().min(1).optional().describe("branch, tag or commit of a model on the hub (default: main)"),
  offline: z.boolean().optional().describe("use only cached models and data sets; send nothing to the hub"),
  method: z
    .string()
    .optional()
    .meta({
      get description() {
        const [fitted, others] = [FITTED_HEAD_METHOD.name, DEFAULT_METHOD.name];
        return `fine-tuning method: ${METHODS.names.join(", ")} (default: ${fitted} for your texts in up to 6 blocks, otherwise ${others})`;
      },
    }),
  adapter: z
    .string()
    .min(1)
    .optional()
    .describe(
      "adapter to continue from, made by aflora or Hugging Face PEFT: a folder, or owner/name on the hub; its method and base model apply",
    ),
  task: z.string().optional().describe("GLUE task or gsm8k, read from --data"),
  data: z.string().optional().describe("folder that holds the official GLUE folders, or the files of the task"),
  preset: z
    .literal("paper")
    .optional()
    .describe("the settings that the method's authors published for the task; other flags override them")
    .meta(repeatsPapers),
  train: z.string().optional().describe("training examples: CSV, TSV, JSONL, parquet, or a folder (pictures, sounds)"),
  validation: z.string().optional().describe("validation examples, in the same formats"),
  dataset: z
    .string()
    .min(1)
    .optional()
    .describe("data set of the hub with training and validation examples: owner/name[@revision]"),
  datasetConfig: z.string().min(1).optional().describe("configuration of --dataset, such as cola for nyu-mll/glue"),
  validationSplit: z
    .number()
    .gt(0)
    .lt(1)
    .optional()
    .describe(
      "share of the training examples to hold out for validation (default: 0.1 for --train without --validation; otherwise the task's own validation data)",
    ),
  maxTrainSamples: z
    .int()
    .positive()
    .optional()
    .describe("limit on training examples, including those held out; the same rows for every seed (default: all)"),
  text: z.string().optional().describe("column of the text"),
  textPair: z.string().optional().describe("column of the second text of a pair"),
  label: z.string().optional().describe("column of the label"),
  kind: z
    .string()
    .optional()
    .meta({
      get description() {
        return `what to predict: ${TASK_KINDS.names.join(", ")} (default: by the data)`;
      },
    }),
  ...rowOptions.shape,
  ...trainingOptions.shape,
  ...computeOptions.shape,
  checkpointEvery: z
    .union([z.string(), z.number()])
    .refine((every) => CHECKPOINT_INTERVAL.test(String(every)), "give steps (200) or seconds (60s)")
    .default("60s")
    .describe("interval between checkpoints for --resume: steps (200) or seconds (60s)"),
  log: z
    .string()
    .refine(
      (logs) => logs.split(",").every(isLog),
      "give tensorboard, mlflow=http://HOST:PORT, or both with a comma between",
    )
    .optional()
    .describe(
      "also log losses, metrics and rates: tensorboard (in the run folder), mlflow=URL (to an MLflow server), or both with a comma between",
    ),
  output: z.string().min(1).optional().describe("run folder to write (default: runs/<task>-<method>-<date>)"),
});

/** Returns the schema of an option of runs or of a kind of task; undefined if there is none of that name. */
export function optionOfRun(name: string): z.ZodType | undefined {
  const own: Readonly<Record<string, z.ZodType>> = runOptions.shape;
  return own[name] ?? TASK_KINDS.schemaOf(name);
}

/** Options of where and how a run is computed, not of its result: a resumed run may change them. */
export const MAY_DIFFER: readonly string[] = [
  ...["threads", "device", "output", "offline", "checkpointEvery", "log", "freezeBlocksMemory", "strict"],
  // Lowered if memory is short.
  "tokenBudget",
];

/** Options that name files and folders; a model or an adapter may also be a name on the hub. */
export const PATH_OPTIONS: readonly string[] = ["data", "train", "validation", "model", "adapter", ...REWARD_PATHS];

/** Options of a command that asks a run's model for answers. */
export const askingOptions = z.object({
  base: z
    .enum(ANSWER_FORMATS)
    .optional()
    .describe(
      "number format of the base model (default: float32; if that does not fit into memory, the format of training or, for answers, that of its GGUF file)",
    ),
  ...runOptions.pick({ device: true, threads: true, offline: true }).shape,
});

type GivenOptions = z.output<typeof runOptions>;

/** Source of a run's examples: a published task's files, the user's own files, or a data set on the hub. */
export type DataSource =
  | { task: string; data: string }
  | { train: string; validation?: string | undefined }
  | { dataset: string; datasetConfig?: string | undefined };

/** Options of a run beside its data source and its method. */
type GivenSettings = Omit<
  GivenOptions,
  "method" | "task" | "data" | "train" | "validation" | "dataset" | "datasetConfig"
> &
  Pick<FineTuningSettings, "taskOptions">;

/** All options of a run beside its data source and its method, each with its value. */
export type RunSettings = GivenSettings & FineTuningSettings;

/** A run's options, checked, each with its value. */
export interface RunConfig {
  source: DataSource;
  run: RunSettings;
  method: MethodChoice;
}

/** A run's options, checked. Some defaults depend on the examples and are still open. */
export interface GivenConfig {
  source: DataSource;
  /** With the defaults that do not depend on the examples. */
  run: GivenSettings;
  /** Chooses the method and fills in the open defaults: the paper's settings for a GLUE task, otherwise those that suit the examples. */
  settle(suits?: SuitedTo): { method: MethodChoice; settings: RunSettings };
}

/**
 * Checks options given as flags, config file or library call.
 * @throws UserError naming the option that is unknown, of another method, missing or malformed.
 */
export function parseOptions(given: Readonly<Record<string, unknown>>): GivenConfig {
  const name = methodNameIn(given);
  const { options, methodFor } = partOpenOptions(
    runOptions,
    name,
    name === undefined ? given : withPreset(given, name),
  );
  const { method: _name, task: _task, data, train, validation, dataset, datasetConfig, ...settings } = options;
  const source = sourceOf(options);
  const task = namedTaskOf(source);
  const published = task === undefined ? undefined : PAPER_METHOD.published?.tasks[task];
  const kind = options.kind === undefined ? undefined : findTaskKind(options.kind, opt("kind"));
  const headStart = task === undefined ? undefined : "new";
  return {
    source,
    run: settings,
    settle(suits) {
      const from = { epochs: published?.epochs, headStart, kind, ...suits } as const;
      const method = methodFor(from);
      const rates = method.name === PAPER_METHOD.name ? published : undefined;
      return { method, settings: withRecipe(settings, findMethod(method.name), { ...from, rates }) };
    },
  };
}

/** Resolves options without looking at the examples. @throws UserError as {@link parseOptions} */
export function resolveConfig(given: Readonly<Record<string, unknown>>): RunConfig {
  const { source, settle } = parseOptions(given);
  const { method, settings } = settle();
  return { source, run: settings, method };
}

/** Resolves options so that they suit the examples and the model. @throws UserError as {@link parseOptions} */
export function resolveFor(given: Readonly<Record<string, unknown>>, task: TaskData, model: SuitedModel): RunConfig {
  const { source, settle } = parseOptions(given);
  const { method, settings } = settle(suitedTo(task, given.adapter === undefined, model));
  return { source, run: settings, method };
}

/** Adds the settings that the method's authors published for the task, if asked for. @throws UserError if there are none */
function withPreset(given: Readonly<Record<string, unknown>>, name: string): Readonly<Record<string, unknown>> {
  if (given.preset === undefined) return given;
  const setting = publishedOf(given);
  const isSummarized = typeof given.dataset === "string" && summarizationIn(given.dataset) !== undefined;
  if (setting) {
    return { ...publishedOptions(setting), ...(isSummarized && { kind: SUMMARIZATION }), ...definedOf(given) };
  }
  const known = Object.keys(findMethod(name).published?.tasks ?? {}).join(", ");
  throw new UserError(
    `${opt("preset")} paper: no settings are published for ${publishedTaskOf(given, name) ?? "examples of your own"} with method "${name}"${known ? `, only for ${known}` : ""}; leave it out`,
  );
}

/** Returns the settings that the method's authors published for the task; undefined if there are none. */
export function publishedOf(given: Readonly<Record<string, unknown>>): PublishedSetting | undefined {
  const name = methodNameIn(given) ?? DEFAULT_METHOD.name;
  const task = publishedTaskOf(given, name);
  return task === undefined ? undefined : findMethod(name).published?.tasks[task];
}

/** Says where the settings of `preset` come from, and what they leave open; undefined without it. */
export function presetNote(given: Readonly<Record<string, unknown>>): string | undefined {
  const name = methodNameIn(given);
  if (given.preset === undefined || name === undefined) return undefined;
  const { source, notes } = findMethod(name).published!;
  const note = notes?.[publishedTaskOf(given, name)!];
  return `settings of ${source}${note === undefined ? "" : `; ${note}`}`;
}

function publishedTaskOf(given: Readonly<Record<string, unknown>>, method: string): string | undefined {
  const { options } = partOptions(runOptions, method, given);
  const kind = options.kind === undefined ? undefined : findTaskKind(options.kind, opt("kind"));
  const source = sourceOf(options);
  const named = namedTaskOf(source) ?? ("dataset" in source ? summarizationIn(source.dataset) : undefined);
  if (named !== undefined || kind === undefined) return named;
  const { pipeline } = kind.huggingFace;
  return METHODS.all.some(({ published }) => published && pipeline in published.tasks) ? pipeline : undefined;
}

const definedOf = (given: Readonly<Record<string, unknown>>): Record<string, unknown> =>
  Object.fromEntries(Object.entries(given).filter(([, value]) => value !== undefined));

function sourceOf({ task, data, train, validation, dataset, datasetConfig }: GivenOptions): DataSource {
  const only = [task, train, dataset].filter((source) => source !== undefined).length === 1;
  for (const [option, value, source, given] of [
    ["data", data, "task", task],
    ["validation", validation, "train", train],
    ["datasetConfig", datasetConfig, "dataset", dataset],
  ] as const) {
    if (only && value !== undefined && given === undefined) {
      throw new UserError(`${opt(option)} requires ${opt(source)}; add it, or leave ${opt(option)} out`);
    }
  }
  if (only && task !== undefined) {
    if (data !== undefined) return { task: glueTaskName(task), data };
    throw new UserError(`where are the files of task "${task}"? Give their folder with ${opt("data")} DIR`);
  }
  if (only && train !== undefined) return { train, validation };
  if (only && dataset !== undefined) return { dataset, datasetConfig };
  throw new UserError(
    `give either a task (${opt("task")} cola ${opt("data")} DIR), your own examples (${opt("train")} FILE) or a data set of the hub (${opt("dataset")} OWNER/NAME)`,
  );
}

/** Makes every path absolute, so that the options hold in any folder. */
export function withAbsolutePaths<Config extends { source: DataSource; run: GivenSettings }>(config: Config): Config {
  const { source, run } = config;
  const isPath = (name: string, value: unknown): value is string =>
    PATH_OPTIONS.includes(name) &&
    typeof value === "string" &&
    !namesReward(name, value) &&
    (name !== "adapter" || existsSync(value)) &&
    (name !== "model" || (value !== BUNDLED_MODEL && run.revision === undefined && existsSync(value)));
  const absolute = <Options extends object>(options: Options): Options =>
    Object.fromEntries(
      Object.entries(options).map(([name, value]) => [name, isPath(name, value) ? resolve(value) : value]),
    ) as Options;
  const { taskOptions } = run;
  return { ...config, source: absolute(source), run: { ...absolute(run), taskOptions: absolute(taskOptions) } };
}

/** Returns the published task of a data source, from files or from the hub; undefined for other data. */
export function namedTaskOf(source: DataSource): string | undefined {
  if ("task" in source) return source.task;
  if (!("dataset" in source) || source.datasetConfig === undefined) return undefined;
  return /\/glue(@|$)/.test(source.dataset) ? glueTaskName(source.datasetConfig) : undefined;
}

/** Puts a run's options side by side, with the names of flags and of `config.json`; `resolveConfig` reverses that. */
export function flatOptions({ source, run, method }: RunConfig): Record<string, unknown> {
  const { taskOptions, ...own } = run;
  const all = { method: method.name, ...source, ...own, ...taskOptions, ...method.options };
  return Object.fromEntries(Object.entries(all).filter(([, value]) => value !== undefined));
}

/**
 * Parses the options of a `config.json`.
 * @param file its path, for errors
 * @throws UserError naming the file and the option that is unknown, missing or malformed.
 */
export function parseSavedConfig(saved: Readonly<Record<string, unknown>>, file: string): RunConfig {
  try {
    return resolveConfig(saved);
  } catch (error) {
    if (!(error instanceof UserError)) throw error;
    throw new UserError(
      `${file} is damaged: ${error.message}; restore it from a copy, or run again with ${opt("overwrite")}`,
    );
  }
}
