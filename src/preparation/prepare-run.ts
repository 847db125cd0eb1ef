import type { BaseFormat } from "../architectures/base-format.ts";
import type { Adapter } from "../base-models/adapter.ts";
import { type BaseModel, type OpenedModel, refuseOtherModel } from "../base-models/base-model.ts";
import { withMedia } from "../base-models/read-media.ts";
import { withCode } from "../errors.ts";
import type { Device } from "../runtime/device.ts";
import type { Runtime } from "../runtime/session.ts";
import { shownNotes, taskNotes } from "../tasks/data-notes.ts";
import type { TaskData } from "../tasks/example.ts";
import type { Reward } from "../tasks/reward-functions.ts";
import type { TaskOptionValues } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { TrainingEnd } from "../training/events.ts";
import type { MemoryEstimate } from "../training/memory-estimate.ts";
import { stageProgress } from "../training/progress.ts";
import type { TrainingState } from "../training/training-state.ts";
import { type EncodedTask, encodeTask } from "./encoded-task.ts";
import { FineTuning } from "./fine-tuning.ts";
import type { RunPlan } from "./run-plan.ts";
import { type EndOptions, type RunEnding, runStages, type StageOptions, type StartOptions } from "./stages/stage.ts";
import { AFTER_THE_LOOP, BEFORE_THE_LOOP } from "./stages/stages.ts";
import { startFrom } from "./start-from-adapter.ts";
import { suitedTo } from "./suited-to.ts";
import type { FineTuningSettings, MethodChoice, SuitedTo } from "./training-options.ts";

export const READING = "reading the examples";

/** The options of a run, before its examples and its model are read. */
export interface AskedRun<Settings extends FineTuningSettings> {
  /** Storage format of the base model. */
  base: BaseFormat;
  /** Whether notes on the examples' rows are errors. */
  strict?: boolean | undefined;
  /** Chooses the method and resolves all options: those that are not given suit the examples and the model. */
  settle(suits: SuitedTo): { method: MethodChoice; settings: Settings };
  adapter?: Adapter | undefined;
  resume?: TrainingState | undefined;
}

export interface OpenRuntime {
  runtime: Runtime;
  note?: string | undefined;
  release?(): Promise<void>;
}

/** Sources of a run's parts: files of this machine, or the data that a page was given. */
export interface RunSources<Memory extends MemoryEstimate, Base extends BaseModel> {
  readTask(): Promise<TaskData>;
  openModel(): Promise<OpenedModel<Base>>;
  openRuntime(): Promise<OpenRuntime>;
  /** Chooses the device on which a step of this run is fastest. */
  fastest?(fineTuning: FineTuning): Promise<OpenRuntime>;
  /** Cuts micro-batches smaller until they fit. @throws UserError if the run cannot fit at all */
  fitMemory(fineTuning: FineTuning, device: Device): { memory: Memory; notes: readonly string[] };
  /**
   * Opens the scorer of answers, for kinds that learn from rewards. @param options the kind's options as they were given
   * @throws UserError if it is not given or cannot be used
   */
  openReward?(options: TaskOptionValues): Promise<Reward>;
  /** Says why the base model does not fit into memory in float32; undefined if it does. */
  float32TooLarge?(base: BaseModel): string | undefined;
}

/** The result of a run. */
export interface FinishedRun
  extends Pick<RunEnding, "adapter" | "calibration" | "findings" | "base" | "onFloat32" | "notes"> {}

/** A run with all its parts, ready to train. */
export interface PreparedRun<
  Settings extends FineTuningSettings,
  Memory extends MemoryEstimate = MemoryEstimate,
  Base extends BaseModel = BaseModel,
> {
  task: TaskData;
  /** The base model as it was read, before a head was fitted. */
  loaded: Base;
  base: BaseModel;
  method: MethodChoice;
  /** All options, each with its value. */
  settings: Settings;
  runtime: Runtime;
  fineTuning: FineTuning;
  /** Expected memory of training, in bytes. */
  memory: Memory;
  notes: readonly string[];
  /**
   * Runs the stages after the loop.
   * @param again whether a model that learned few examples may be trained once more on all of them (default: true)
   * @throws the signal's reason
   */
  finish(end: TrainingEnd, options?: StageOptions & Pick<EndOptions, "again" | "novelty">): Promise<FinishedRun>;
  release(): Promise<void>;
}

export interface PrepareOptions extends StageOptions {
  /** Receives notes on the examples before the weights are read: how many are too long. They are among the run's notes, too. */
  onNote?: ((note: string) => void) | undefined;
  /** Prepares a part of the examples, such as for timing a few steps. The settings are still those that suit all of them. */
  sample?: ((task: TaskData, settings: FineTuningSettings) => SampledRun) | undefined;
}

export interface SampledRun {
  task: TaskData;
  settings: Partial<FineTuningSettings>;
}

interface ReadRun<Settings, Base extends BaseModel> {
  model: OpenedModel<Base>;
  task: TaskData;
  method: MethodChoice;
  settings: Settings;
  encoded: EncodedTask;
}

function readNote({ train, validation, labels, heldOut }: TaskData): string {
  const count = (of: number): string => of.toLocaleString("en-US");
  const held = validation.reduce((sum, { examples }) => sum + examples.length, 0);
  const split = `${count(train.length)} to train on, ${count(held)} ${heldOut ? "held out" : "to evaluate on"}`;
  return `${count(train.length + held)} examples${labels.length > 0 ? ` with ${count(labels.length)} labels` : ""}: ${split}`;
}

async function readRun<Settings extends FineTuningSettings, Base extends BaseModel>(
  { settle, strict, adapter, resume }: AskedRun<Settings>,
  sources: Pick<RunSources<MemoryEstimate, Base>, "readTask" | "openModel">,
  { signal, onProgress, onNote, sample }: PrepareOptions,
): Promise<ReadRun<Settings, Base>> {
  await stageProgress(onProgress, READING, "rows")(0);
  const rows = await withCode("invalid-data", sources.readTask());
  if (!resume) onNote?.(readNote(rows));
  // A run that resumes was checked when it began.
  const notes = [...(rows.notes ?? []), ...shownNotes(taskNotes(rows), strict === true && !resume)];
  if (!resume) for (const note of notes) onNote?.(note);
  await stageProgress(onProgress, "opening the model", "files")(0);
  const model = await withCode("invalid-model", sources.openModel());
  refuseOtherModel(findTaskKind(rows.kind), model);
  const onDone = stageProgress(onProgress, `reading the ${model.media?.reads}`);
  const all = await withCode("invalid-data", withMedia(rows, model, { signal, onDone }));
  const { method, settings: settled } = settle(suitedTo(all, adapter === undefined, model));
  const part = sample?.(all, settled) ?? { task: all, settings: {} };
  const features = adapter ? adapter.description.task.features : (settled.headFeatures ?? resume?.headFeatures);
  const taskOptions = { ...settled.taskOptions, ...resume?.taskOptions };
  const settings = { ...settled, ...part.settings, headFeatures: features, taskOptions };
  const task = { ...part.task, features };
  const encoding = { signal, onDone: stageProgress(onProgress, "encoding the examples") };
  const read = await withCode("invalid-data", encodeTask(task, model, settings, encoding));
  if (!resume) for (const note of read.notes) onNote?.(note);
  const encoded = { ...read, notes: [...notes, ...read.notes] };
  return { model, task, method, settings, encoded };
}

/**
 * Prepares a run from its options, wherever it runs: reads the examples and the base model, resolves the settings that suit them,
 * opens the device, and runs the stages before the loop.
 */
export async function prepareRun<
  Settings extends FineTuningSettings,
  Memory extends MemoryEstimate,
  Base extends BaseModel,
>(
  asked: AskedRun<Settings>,
  sources: RunSources<Memory, Base>,
  options: PrepareOptions = {},
): Promise<PreparedRun<Settings, Memory, Base>> {
  const { base: format, adapter, resume } = asked;
  const { signal, onProgress } = options;
  const { model, task, method, settings, encoded } = await readRun(asked, sources, options);
  await stageProgress(onProgress, "reading the model's weights", "bytes")(0);
  const loaded = await withCode("invalid-model", model.read(task, settings.seed, format));
  const reward = findTaskKind(task.kind).writing?.rollout && (await sources.openReward?.(settings.taskOptions));
  const opened = await sources.openRuntime().catch(async (error: unknown) => {
    await reward?.release();
    throw error;
  });
  const release = async (): Promise<void> => {
    await reward?.release();
    await opened.release?.();
  };
  let memory: Memory | undefined;
  const place: StartOptions["place"] = async (fineTuning, on) => {
    const fitted = sources.fitMemory(fineTuning, on.device);
    memory = fitted.memory;
    const { runtime, note } = (await sources.fastest?.(fineTuning)) ?? opened;
    return { runtime, notes: [...fitted.notes, ...(note === undefined ? [] : [note])] };
  };
  try {
    const start = adapter && startFrom(loaded, adapter);
    const { runtime } = opened;
    const data = { task, base: loaded, encoded, method, settings, start, resume, reward };
    const read: RunPlan = { ...data, runtime, initial: new Map(), notes: [] };
    const plan = await runStages(BEFORE_THE_LOOP, read, { signal, onProgress, place });
    const fineTuning = new FineTuning(plan);
    return {
      task: plan.task,
      loaded,
      base: plan.base,
      method,
      settings: { ...settings, headFeatures: plan.task.features, taskOptions: plan.settings.taskOptions },
      runtime: plan.runtime,
      fineTuning,
      memory: memory!,
      notes: [...plan.notes, ...(resume ? [] : fineTuning.notes)],
      finish(end, { signal, onProgress, again, novelty } = {}) {
        const ending = { plan, fineTuning, end, adapter: fineTuning.adapterOf(end), base: plan.base, notes: [] };
        const readFloat32 = () => model.read(plan.task, settings.seed, "float32");
        const { float32TooLarge } = sources;
        return runStages(AFTER_THE_LOOP, ending, { signal, onProgress, again, novelty, float32TooLarge, readFloat32 });
      },
      release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}
