import { z } from "zod";
import { type ModelFiles, urlFiles } from "../checkpoints/model-files.ts";
import { parseTable, tableFormat } from "../datasets/parse-table.ts";
import { taskOfTable } from "../datasets/table-task.ts";
import { UserError } from "../errors.ts";
import type { Adapter } from "../inference/adapter.ts";
import { type BaseModel, readBaseModel } from "../inference/base-model.ts";
import type { WithMethod } from "../methods/method-options.ts";
import { DEFAULT_METHOD, findMethod } from "../methods/methods.ts";
import type { DeviceName } from "../runtime/device.ts";
import { webRuntime } from "../runtime/runtime-web.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import { namedColumns } from "../tasks/rows.ts";
import { holdOut } from "../tasks/split.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { TaskOptions } from "../tasks/task-options.ts";
import type { Calibration } from "../training/calibrate.ts";
import type { TrainingEnd } from "../training/events.ts";
import type { MemoryEstimate } from "../training/memory-estimate.ts";
import type { EvaluationRecord, FreezingRecord, StepRecord } from "../training/records.ts";
import type { TrainOptions } from "../training/train-options.ts";
import type { TrainingState } from "../training/training-state.ts";
import { type ChosenDevice, fastestDevice } from "./fastest-device.ts";
import { FineTuning } from "./fine-tuning.ts";
import { fittedNote, startFromFittedHead } from "./fitted-head.ts";
import {
  type FineTuningSettings,
  type MethodChoice,
  partOptions,
  trainingOptions,
  withRecipe,
} from "./training-options.ts";

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
  z.input<typeof pageOptions> &
    TaskOptions & {
      /** Address of a Hugging Face model folder, or its files. */
      model: string | ModelFiles;
      /** What the model is called in the adapter, such as `owner/name`; its address where absent. */
      modelName?: string;
      /** Of a model on the hub, the branch, tag or commit that it is, for the adapter. */
      revision?: string | undefined;
      /** Training examples. */
      train: TableText;
      /** Validation examples; a part of the training examples is held out where absent. */
      validation?: TableText;
    }
>;

/** What is known when training begins. */
export interface PageRunStart {
  task: TaskData;
  base: BaseModel;
  method: MethodChoice;
  /** All options, with every default filled in. */
  settings: FineTuningSettings;
  totalSteps: number;
  /** Steps done before, where the run goes on from a state. */
  stepsDone: number;
  /** Names of the projection matrices that a schedule may freeze. */
  freezable: readonly string[];
  memory: MemoryEstimate;
  /** Where it computes; "cpu" is WebAssembly. */
  device: DeviceName;
  /** What a person should know before it begins. */
  notes: readonly string[];
}

export interface PageFineTuneOptions extends Pick<TrainOptions, "signal" | "resume"> {
  onStep?(record: StepRecord): void | Promise<void>;
  onFreezingCheck?(record: FreezingRecord): void | Promise<void>;
  onEvaluation?(record: EvaluationRecord): void | Promise<void>;
  onCheckpoint?(state: TrainingState): void | Promise<void>;
  /** Where to compute; where absent, the device of the page on which a step is fastest. */
  runtime?: Runtime;
  onStart?(start: PageRunStart): void | Promise<void>;
}

export interface PageFineTuneOutcome {
  /** The best epoch's; undefined where the run was aborted before one had ended. */
  adapter: Adapter | undefined;
  /** How far its probabilities were from what was right, and what its head was divided by; of labels. */
  calibration: Calibration | undefined;
  outcome: TrainingEnd;
  notes: string[];
  /** What the adapter stands beside, and where it was computed: what predicting with it takes. */
  base: BaseModel;
  runtime: Runtime;
}

/** Bytes that Wasm can have; beside what is computed, the weights are there for as long as a graph runs. */
const WASM_MEMORY = 2 ** 32;

/**
 * Fine-tunes a model in a page: call it in a worker, because training keeps the thread that it runs on.
 *
 * With `resume`, a state that `onCheckpoint` gave, the same config and a `runtime` of the device that `onStart` told, it ends with
 * the same adapter as if it had not stopped.
 * @throws UserError where an option, the examples or the model cannot be used, or the model does not fit into a page's memory.
 */
export async function fineTuneInPage(
  { model, modelName, revision, train, validation, ...config }: PageFineTuneConfig,
  { runtime: given, onStart, resume, signal, ...callbacks }: PageFineTuneOptions = {},
): Promise<PageFineTuneOutcome> {
  const { method: name = DEFAULT_METHOD.name, ...others } = config;
  const { options, method } = partOptions(pageOptions, name, others);
  const { text, textPair, label, kind, validationSplit, ...training } = options;
  const columns = namedColumns({ text, label, textPair });
  const all = taskOf(train, columns, { kind });
  const drawn = validation
    ? withValidation(all, taskOf(validation, columns, all))
    : holdOut(all, validationSplit, training.seed);
  const asked = withRecipe(training, findMethod(name), {
    kind: findTaskKind(drawn.kind),
    size: { examples: drawn.train.length, classes: drawn.labels.length },
    // Each step takes a page several times as long: it learns classes by contrast where that is asked for.
    suitsContrast: false,
  });
  const files = typeof model === "string" ? urlFiles(model) : model;
  const read = { ...drawn, features: asked.headFeatures };
  const loaded = await readBaseModel(files, read, asked.seed, {
    format: asked.base,
    ...(modelName !== undefined && { name: modelName }),
    ...(revision !== undefined && { revision }),
  });
  const began = { base: loaded, task: read, settings: asked };
  const headed = resume ? undefined : await startFromFittedHead(began, given ?? (await webRuntime()), signal);
  const { base, task } = headed ?? began;
  const settings = headed ? { ...asked, headFeatures: headed.fitted.features } : asked;
  const fineTuning = new FineTuning({ base, task, method, settings, resume });
  const { weights } = fineTuning.memory;
  if (!fineTuning.fitMemory(WASM_MEMORY - weights)) throw tooLarge(fineTuning);
  const { runtime, note }: ChosenDevice = given ? { runtime: given } : await fastestDevice(fineTuning);
  const { totalSteps, freezable, memory } = fineTuning;
  const notes = [...(headed ? [fittedNote(headed)] : []), ...fineTuning.notes, ...(note === undefined ? [] : [note])];
  const stepsDone = resume?.step ?? 0;
  const device = runtime.device.name;
  await onStart?.({ task, base, method, settings, totalSteps, stepsDone, freezable, memory, device, notes });
  let outcome: TrainingEnd | undefined;
  const endNotes: string[] = [];
  for await (const event of fineTuning.train(runtime, { signal })) {
    if (event.kind === "step") await callbacks.onStep?.(event);
    else if (event.kind === "freezing") await callbacks.onFreezingCheck?.(event);
    else if (event.kind === "evaluation") await callbacks.onEvaluation?.(event);
    else if (event.kind === "note") endNotes.push(event.text);
    else if (event.kind === "end") outcome = event;
    else if (event.kind === "checkpoint" && event.due) await callbacks.onCheckpoint?.(event.state());
  }
  const best = outcome!.state.best && (await fineTuning.bestAdapter(outcome!, runtime));
  return {
    adapter: best?.adapter,
    calibration: best?.calibration,
    outcome: outcome!,
    notes: endNotes,
    base,
    runtime,
  };
}

function tooLarge({ memory, tokenBudget }: FineTuning): UserError {
  const { weights, optimizer, activations, hiddenStates = 0 } = memory;
  const needed = ((weights + optimizer + activations + hiddenStates) / 1e9).toFixed(1);
  return new UserError(
    `training takes about ${needed} GB even with one text of ${tokenBudget} tokens at a time, and a page can have 4: lower maxLength, or choose a smaller model`,
  );
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
