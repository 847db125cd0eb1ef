import { z } from "zod";
import { type ModelFiles, urlFiles } from "../checkpoints/model-files.ts";
import { parseTable, tableFormat } from "../datasets/parse-table.ts";
import { taskOfTable } from "../datasets/table-task.ts";
import { UserError } from "../errors.ts";
import type { WithMethod } from "../methods/method-options.ts";
import { DEFAULT_METHOD, findMethod } from "../methods/methods.ts";
import { webRuntime } from "../runtime/runtime-web.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import { namedColumns } from "../tasks/rows.ts";
import { holdOut } from "../tasks/split.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { TrainOptions, TrainOutcome } from "../training/train.ts";
import type { Adapter } from "./adapter.ts";
import { type BaseModel, readBaseModel } from "./base-model.ts";
import { FineTuning } from "./fine-tuning.ts";
import { partOptions, trainingOptions, withRecipe } from "./training-options.ts";

/** Examples as text, in one of the formats that `aflora train` reads: the name's ending says which. */
export interface TableText {
  /** `tickets.csv` */
  name: string;
  text: string;
}

const pageOptions = trainingOptions.extend({
  text: z.string().optional(),
  textPair: z.string().optional(),
  label: z.string().optional(),
  kind: z.string().optional(),
  validationSplit: z.number().gt(0).lt(1).default(0.1),
});

/** What to fine-tune on what and how: options by the names that `aflora train` gives them. */
export type PageFineTuneConfig = WithMethod<
  z.input<typeof pageOptions> & {
    /** Address of a Hugging Face model folder, or its files. */
    model: string | ModelFiles;
    /** Training examples. */
    train: TableText;
    /** Validation examples; a part of the training examples is held out where absent. */
    validation?: TableText;
  }
>;

export interface PageFineTuneOptions
  extends Pick<TrainOptions, "onStep" | "onFreezingCheck" | "onEvaluation" | "signal"> {
  /** Where to compute; Wasm with one thread where absent. */
  runtime?: Runtime;
}

export interface PageFineTuneOutcome {
  /** The best epoch's; undefined where the run was aborted. */
  adapter: Adapter | undefined;
  outcome: TrainOutcome;
  /** What the adapter stands beside, and where it was computed: what predicting with it takes. */
  base: BaseModel;
  runtime: Runtime;
}

/**
 * Fine-tunes a model in a page: call it in a worker, because training keeps the thread that it runs on.
 * @throws UserError where an option, the examples or the model cannot be used.
 */
export async function fineTuneInPage(
  { model, train, validation, ...config }: PageFineTuneConfig,
  { runtime: given, ...callbacks }: PageFineTuneOptions = {},
): Promise<PageFineTuneOutcome> {
  const { method: name = DEFAULT_METHOD.name, ...others } = config;
  const { options, method } = partOptions(pageOptions, name, others);
  const { text, textPair, label, kind, validationSplit, ...settings } = options;
  const columns = namedColumns({ text, label, textPair });
  const all = taskOf(train, columns, { kind });
  const task = validation
    ? withValidation(all, taskOf(validation, columns, all))
    : holdOut(all, validationSplit, settings.seed);
  const files = typeof model === "string" ? urlFiles(model) : model;
  const base = await readBaseModel(files, task, settings.seed, { format: settings.base });
  const plan = {
    base,
    task,
    method,
    settings: withRecipe(settings, findMethod(name), { kind: findTaskKind(task.kind) }),
  };
  const fineTuning = new FineTuning(plan);
  const runtime = given ?? (await webRuntime({ threads: 1 }));
  const outcome = await fineTuning.train(runtime, callbacks);
  return { adapter: outcome.aborted ? undefined : fineTuning.bestAdapter(outcome), outcome, base, runtime };
}

function taskOf(
  { name, text }: TableText,
  columns: Parameters<typeof taskOfTable>[1],
  given: Parameters<typeof taskOfTable>[2],
): TaskData {
  return taskOfTable(parseTable(text, name, tableFormat(name)), columns, given);
}

function withValidation(task: TaskData, held: TaskData): TaskData {
  if (held.train.length === 0) throw new UserError("there are no validation examples; leave them out, or give some");
  return { ...task, validation: [{ name: "validation", examples: held.train }] };
}
