import { z } from "zod";
import { type BaseModel, openBaseModel } from "../base-models/base-model.ts";
import { type ModelFiles, urlFiles } from "../checkpoints/model-files.ts";
import { parseTable, tableFormat } from "../datasets/parse-table.ts";
import { taskOfTable } from "../datasets/table-task.ts";
import { UserError } from "../errors.ts";
import { decodePicture } from "../inputs/decode-picture-web.ts";
import type { DecodePicture } from "../inputs/image-processor.ts";
import type { WithMethod } from "../methods/method-options.ts";
import { findMethod } from "../methods/methods.ts";
import type { DeviceName } from "../runtime/device.ts";
import { webRuntime } from "../runtime/runtime-web.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskOptions, TaskPredictions } from "../tasks/built-in-kinds.ts";
import type { TaskData } from "../tasks/example.ts";
import { namedColumns, type Table } from "../tasks/rows.ts";
import { rowOptions, withoutSmallClasses } from "../tasks/small-classes.ts";
import { holdOut } from "../tasks/split.ts";
import type { TrainingEnd, TrainingEvent } from "../training/events.ts";
import type { MemoryEstimate } from "../training/memory-estimate.ts";
import { emitted } from "../training/progress.ts";
import type { TrainOptions } from "../training/train-options.ts";
import { fastestDevice } from "./fastest-device.ts";
import type { FineTuning } from "./fine-tuning.ts";
import { type FinishedRun, type PreparedRun, prepareRun } from "./prepare-run.ts";
import type { StageOptions } from "./stages/stage.ts";
import {
  type FineTuningSettings,
  type MethodChoice,
  partOpenOptions,
  trainingOptions,
  withRecipe,
} from "./training-options.ts";

/** Examples as text, in the format of `aflora train` that the ending of the name implies. */
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
  ...rowOptions.shape,
});

/** A run's model, data and options, named as in `aflora train`. */
export type PageFineTuneConfig = WithMethod<
  Omit<z.input<typeof pageOptions>, "kind"> &
    TaskOptions & {
      /** Name of the kind of task (default: by the data). */
      kind?: keyof TaskPredictions | undefined;
      /** Address of a Hugging Face model folder, or its files. */
      model: string | ModelFiles;
      /** Name of the model in the adapter, such as `owner/name` (default: its address). */
      modelName?: string;
      /** Branch, tag or commit of a model on the hub, for the adapter. */
      revision?: string | undefined;
      /** Training examples as text or as rows; for pictures, their paths and classes. */
      train: TableText | Table;
      /** Validation examples (default: a part of the training examples is held out). */
      validation?: TableText | Table;
      /** Returns the file of a picture by its path, or undefined if there is none; for kinds that read pictures. */
      openPicture?: (path: string) => Blob | undefined | Promise<Blob | undefined>;
    }
>;

/** The first event of a run: its parts and settings, before training begins. */
export interface PageRunStart {
  kind: "start";
  task: TaskData;
  base: BaseModel;
  method: MethodChoice;
  /** All options, each with its value. */
  settings: FineTuningSettings;
  totalSteps: number;
  /** Steps that the run did before it was resumed. */
  stepsDone: number;
  /** Names of the projection matrices that a schedule may freeze. */
  freezable: readonly string[];
  memory: MemoryEstimate;
  /** Device that computes; "cpu" is WebAssembly. */
  device: DeviceName;
  /** Notes for the user, shown before training. */
  notes: readonly string[];
}

/** The result of a run in a page. */
export interface PageFineTuneOutcome {
  /** The best epoch; undefined if the run was aborted before the first one ended. */
  finished: (FinishedRun & { runtime: Runtime }) | undefined;
  /** The end of training; undefined if the run was aborted before training began. */
  training: TrainingEnd | undefined;
  /** Notes for the user, such as that the run learned nothing. */
  notes: string[];
}

/** The last event of a run. */
export interface PageRunEnd extends PageFineTuneOutcome {
  kind: "end";
}

/** An event of a run in a page. */
export type PageRunEvent = PageRunStart | Exclude<TrainingEvent, TrainingEnd> | PageRunEnd;

/** How to start and stop a run in a page. */
export interface PageRunControl extends Pick<TrainOptions, "signal" | "resume"> {
  /** Runtime to compute with (default: the device of the page on which a step is fastest). */
  runtime?: Runtime;
}

/** How to start, follow and stop a run in a page. */
export interface PageFineTuneOptions extends PageRunControl {
  /** Receives each event. A returned promise is awaited. */
  onEvent?(event: PageRunEvent): void | Promise<void>;
}

/** Limit on Wasm's memory in bytes. The weights take a part of it while a graph runs. */
const WASM_MEMORY = 2 ** 32;

/**
 * Fine-tunes a model in a page. Call it in a worker, because training blocks its thread.
 * @throws UserError if an option, the examples or the model cannot be used, or the model does not fit into a page's memory.
 * @example
 * ```ts
 * const train = { name: "tickets.csv", text: await file.text() };
 * const { finished } = await fineTune({ model: "https://example.org/models/mine", train, text: "message", label: "team" });
 * ```
 */
export async function fineTuneInPage(
  config: PageFineTuneConfig,
  { onEvent, ...control }: PageFineTuneOptions = {},
): Promise<PageFineTuneOutcome> {
  let end: PageRunEnd | undefined;
  for await (const event of fineTuneEventsInPage(config, control)) {
    await onEvent?.(event);
    if (event.kind === "end") end = event;
  }
  const { kind, ...outcome } = end!;
  return outcome;
}

/**
 * Fine-tunes a model in a page and yields the events.
 *
 * With `resume` (the state of a checkpoint event), the same config and a `runtime` on the device of the start event, the run ends with
 * the same adapter as if it had not stopped.
 * @throws UserError as {@link fineTuneInPage}
 * @example
 * ```ts
 * for await (const event of fineTuneEvents({ model, train, text: "message", label: "team" })) {
 *   if (event.kind === "step") console.log(event.step, event.loss);
 * }
 * ```
 */
export async function* fineTuneEventsInPage(
  { model, modelName: name, revision, train, validation, openPicture, ...config }: PageFineTuneConfig,
  { runtime: given, resume, signal }: PageRunControl = {},
): AsyncGenerator<PageRunEvent, void> {
  const { method: methodName, ...others } = config;
  const { options, methodFor } = partOpenOptions(pageOptions, methodName, others);
  const { text, textPair, label, kind, validationSplit, minClassRows, smallClasses, strict, ...training } = options;
  const columns = namedColumns({ text, label, textPair });
  const files = typeof model === "string" ? urlFiles(model) : model;
  let prepared: PreparedRun<FineTuningSettings>;
  try {
    prepared = yield* emitted<PageRunEvent, PreparedRun<FineTuningSettings>>((emit) =>
      prepareRun(
        {
          base: training.base,
          strict,
          // A step takes several times as long in a page, so that contrastive training is not the default there.
          settle(suits) {
            const method = methodFor(suits);
            const from = { ...suits, suitsContrast: false };
            return { method, settings: withRecipe(training, findMethod(method.name), from) };
          },
          resume,
        },
        {
          async readTask() {
            const all = taskOf(train, columns, { kind });
            const small = { minClassRows, smallClasses };
            if (!validation) return holdOut(withoutSmallClasses(all, small), validationSplit, training.seed);
            return withoutSmallClasses(withValidation(all, taskOf(validation, columns, all)), small);
          },
          openModel: () =>
            openBaseModel(files, {
              ...(openPicture && { decoders: { pictures: decodedBy(openPicture) } }),
              ...(name !== undefined && { name }),
              ...(revision !== undefined && { revision }),
            }),
          openRuntime: async () => ({ runtime: given ?? (await webRuntime()) }),
          ...(!given && { fastest: fastestDevice }),
          fitMemory(fineTuning) {
            if (!fineTuning.fitMemory(WASM_MEMORY - fineTuning.memory.weights)) throw tooLarge(fineTuning);
            return { memory: fineTuning.memory, notes: [] };
          },
        },
        { signal, onProgress: emit, onNote: (text) => emit({ kind: "note", text }) },
      ),
    );
  } catch (error) {
    if (!signal?.aborted || error !== signal.reason) throw error;
    return yield { kind: "end", finished: undefined, training: undefined, notes: [] };
  }
  const { runtime, fineTuning, task, base, method, settings, memory, notes } = prepared;
  const { totalSteps, freezable } = fineTuning;
  const stepsDone = resume?.step ?? 0;
  const device = runtime.device.name;
  const facts = { task, base, method, settings, totalSteps, stepsDone, freezable, memory, device, notes };
  yield { kind: "start", ...facts };
  const endNotes: string[] = [];
  for await (const event of fineTuning.train(runtime, { signal })) {
    if (event.kind === "note") endNotes.push(event.text);
    if (event.kind !== "end") yield event;
    else {
      const kept =
        event.state.best &&
        (yield* emitted<PageRunEvent, FinishedRun>((emit) => finished(prepared, event, { signal, onProgress: emit })));
      yield { kind: "end", finished: kept && { ...kept, runtime }, training: event, notes: endNotes };
    }
  }
}

/** Runs the stages after the loop. A run that is stopped keeps its best epoch, which is not trained once more on all examples. */
async function finished(
  prepared: PreparedRun<FineTuningSettings>,
  end: TrainingEnd,
  { signal, onProgress }: StageOptions,
): Promise<FinishedRun> {
  if (!end.aborted) {
    try {
      return await prepared.finish(end, { signal, onProgress });
    } catch (error) {
      if (!signal?.aborted || error !== signal.reason) throw error;
    }
  }
  return prepared.finish(end, { onProgress, again: false });
}

function tooLarge({ memory, tokenBudget }: FineTuning): UserError {
  const { weights, optimizer, activations, hiddenStates = 0 } = memory;
  const needed = ((weights + optimizer + activations + hiddenStates) / 1e9).toFixed(1);
  return new UserError(
    `training takes about ${needed} GB even with one text of ${tokenBudget} tokens at a time, and a page can use 4: lower maxLength, or choose a smaller model`,
  );
}

const decodedBy =
  (open: NonNullable<PageFineTuneConfig["openPicture"]>): DecodePicture =>
  async (path) => {
    const file = await open(path);
    if (!file) throw new UserError(`there is no picture ${path}; give it, or leave its row out`);
    return decodePicture(path, file);
  };

function taskOf(
  rows: TableText | Table,
  columns: Parameters<typeof taskOfTable>[1],
  given: Parameters<typeof taskOfTable>[2],
): TaskData {
  const table = "text" in rows ? parseTable(rows.text, rows.name, tableFormat(rows.name)) : rows;
  return taskOfTable(table, columns, given);
}

function withValidation(task: TaskData, held: TaskData): TaskData {
  if (held.train.length === 0) throw new UserError("there are no validation examples; leave them out, or give some");
  return { ...task, validation: [{ name: "validation", examples: held.train }] };
}
