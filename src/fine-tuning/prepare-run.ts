import type { Adapter } from "../model/adapter.ts";
import { type BaseModel, type BaseOptions, withHead } from "../model/base-model.ts";
import { withMedia } from "../model/read-media.ts";
import type { BaseFormat } from "../models/base-format.ts";
import type { Device } from "../runtime/device.ts";
import type { Runtime } from "../runtime/session.ts";
import type { TaskData } from "../tasks/example.ts";
import type { Reward } from "../tasks/reward-functions.ts";
import type { TaskOptionValues } from "../tasks/task-kind.ts";
import { findTaskKind } from "../tasks/task-kinds.ts";
import type { Calibration } from "../training/calibration/calibrate.ts";
import type { Evaluation } from "../training/evaluation/evaluate.ts";
import type { TrainingEnd } from "../training/events.ts";
import type { FittingProgress } from "../training/linear-head/fit-head.ts";
import type { MemoryEstimate } from "../training/memory-estimate.ts";
import type { TrainingState } from "../training/training-state.ts";
import { FineTuning } from "./fine-tuning.ts";
import { lengthNotes } from "./long-examples.ts";
import { fittedNote, startFromFittedHead } from "./stages/fitted-head.ts";
import { REFIT_NOTE, refit } from "./stages/refit.ts";
import { startFrom } from "./start-from-adapter.ts";
import { suitedTo } from "./suited-to.ts";
import type { FineTuningSettings, MethodChoice, SuitedTo } from "./training-options.ts";

/** What a run is asked to be, before its examples and its model are read. */
export interface AskedRun<Settings extends FineTuningSettings> {
  method: MethodChoice;
  /** How the base model is stored. */
  base: BaseFormat;
  /** All options, once it is known what suits the examples where they say nothing. */
  settle(suits: SuitedTo): Settings;
  /** An adapter to go on from. */
  adapter?: Adapter | undefined;
  /** A state of this very run to go on from. */
  resume?: TrainingState | undefined;
}

/** A device in use, and what the user should know of it. */
export interface OpenRuntime {
  runtime: Runtime;
  note?: string | undefined;
  /** Gives back what keeps the device open. */
  release?(): Promise<void>;
}

/** Where a run's parts come from: files of this machine, or what a page was given. */
export interface RunSources<Memory extends MemoryEstimate, Base extends BaseModel> {
  readTask(): Promise<TaskData>;
  /** Reads the base model, with a head for the task. */
  readBase(format: BaseFormat, task: TaskData, onTokenizer?: BaseOptions["onTokenizer"]): Promise<Base>;
  /** @throws UserError where the device cannot be used. */
  openRuntime(): Promise<OpenRuntime>;
  /** Another device, where a step of this run is faster there. */
  fastest?(fineTuning: FineTuning): Promise<OpenRuntime>;
  /** Cuts micro-batches smaller where they would not fit. @throws UserError where the run cannot fit at all. */
  fitMemory(fineTuning: FineTuning, device: Device): { memory: Memory; notes: readonly string[] };
  /**
   * What scores answers, of kinds that learn from rewards. @param options of the kind, as they were given
   * @throws UserError where it is not given, or cannot be used.
   */
  openReward?(options: TaskOptionValues): Promise<Reward>;
  /** Why the base model cannot be there in float32 at the end; undefined where it can. */
  float32TooLarge?(base: BaseModel): string | undefined;
}

/** What a run came to. */
export interface FinishedRun {
  /** The best epoch's, its head divided by the temperature that suits the validation examples. */
  adapter: Adapter;
  /** How far its probabilities were from what was right; of labels. */
  calibration?: Calibration | undefined;
  /** The model that the adapter stands beside from now on: in float32 where that fits. */
  base: BaseModel;
  /** How the adapter does there, where training had another format. */
  onFloat32?: Evaluation | undefined;
  /** What the user should know: why it is not float32, or that it was trained once more. */
  notes: readonly string[];
}

/** A run with all that it needs, ready to train. */
export interface PreparedRun<
  Settings extends FineTuningSettings,
  Memory extends MemoryEstimate = MemoryEstimate,
  Base extends BaseModel = BaseModel,
> {
  task: TaskData;
  /** As it was read, before a head was fitted to it. */
  loaded: Base;
  base: BaseModel;
  method: MethodChoice;
  /** With every default filled in. */
  settings: Settings;
  runtime: Runtime;
  fineTuning: FineTuning;
  /** What training is expected to take, bytes. */
  memory: Memory;
  /** What the user should know before it trains. */
  notes: readonly string[];
  /**
   * The best adapter, and how it does beside the model that it stands beside from now on.
   * @param again whether a model that learned few rows may be trained once more on all of them
   * @throws the signal's reason
   */
  finish(
    end: TrainingEnd,
    options?: { signal?: AbortSignal | undefined; again?: boolean | undefined },
  ): Promise<FinishedRun>;
  /** Gives the device back. */
  release(): Promise<void>;
}

export interface PrepareOptions {
  /** Aborting ends what is done before training, with the signal's reason. */
  signal?: AbortSignal | undefined;
  /** Told how far what is done before training is; what it returns is waited for. */
  onFitting?: ((progress: FittingProgress) => void | Promise<void>) | undefined;
  /** Told what is known of the examples before the model is read: how many are too long. It stands among the run's notes, too. */
  onNote?: ((note: string) => void) | undefined;
}

/** The base model, and the examples as it reads them; files of pictures or sounds that rows held are let go of. */
async function readExamplesAndBase<Settings extends FineTuningSettings, Base extends BaseModel>(
  { base: format, settle, adapter, resume }: AskedRun<Settings>,
  sources: Pick<RunSources<MemoryEstimate, Base>, "readTask" | "readBase">,
  { signal, onFitting, onNote }: PrepareOptions,
): Promise<{ loaded: Base; read: TaskData; asked: Settings }> {
  const found = await sources.readTask();
  const settledFor = ({ pooling }: Pick<BaseModel, "pooling">, task: TaskData) =>
    settle(suitedTo(task, adapter === undefined, pooling));
  const loaded = await sources.readBase(format, found, (model) => {
    if (!resume && onNote) lengthNotes(model, found, settledFor(model, found)).forEach(onNote);
  });
  const onDone = (done: number, of: number) => onFitting?.({ doing: `reading the ${loaded.media!.reads}`, done, of });
  const read = await withMedia(found, loaded, { signal, onDone });
  return { loaded, read, asked: settledFor(loaded, read) };
}

/**
 * From options to a run that is ready to train, wherever it runs: reads the examples and the base model, fills in what suits them,
 * opens the device, fits the head that training starts from, and cuts micro-batches so that they fit.
 * @throws UserError where an option, the examples, the model or the device cannot be used.
 */
export async function prepareRun<
  Settings extends FineTuningSettings,
  Memory extends MemoryEstimate,
  Base extends BaseModel,
>(
  run: AskedRun<Settings>,
  sources: RunSources<Memory, Base>,
  options: PrepareOptions = {},
): Promise<PreparedRun<Settings, Memory, Base>> {
  const { method, base: format, adapter, resume } = run;
  const { signal, onFitting } = options;
  const { loaded, read, asked } = await readExamplesAndBase(run, sources, options);
  const features = adapter ? adapter.description.task.features : (asked.headFeatures ?? resume?.headFeatures);
  const began = {
    base: features ? await withHead(loaded, { ...read, features }, asked.seed) : loaded,
    task: { ...read, features },
    settings: asked,
  };
  const reward = findTaskKind(read.kind).rollout && (await sources.openReward?.(asked.taskOptions));
  const opened = await sources.openRuntime().catch(async (error: unknown) => {
    await reward?.release();
    throw error;
  });
  const release = async (): Promise<void> => {
    await reward?.release();
    await opened.release?.();
  };
  try {
    const isNew = !adapter && !resume;
    const headed = isNew ? await startFromFittedHead(began, opened.runtime, { signal, onFitting }) : undefined;
    const { base, task } = headed ?? began;
    const taskOptions = { ...asked.taskOptions, ...headed?.fitted.options };
    const settings = { ...asked, headFeatures: task.features, taskOptions };
    const start = adapter && startFrom(base, adapter);
    const plan = { base, task, method, settings, start, resume, reward };
    const fineTuning = new FineTuning(plan);
    const { memory, notes } = sources.fitMemory(fineTuning, opened.runtime.device);
    const { runtime, note } = (await sources.fastest?.(fineTuning)) ?? opened;
    const doing = "reading the answers before training";
    await fineTuning.takeReference(runtime, { signal, onDone: (done, of) => onFitting?.({ doing, done, of }) });
    return {
      task,
      loaded,
      base,
      method,
      settings,
      runtime,
      fineTuning,
      memory,
      notes: [
        ...notes,
        ...(note === undefined ? [] : [note]),
        ...(headed ? [fittedNote(headed)] : []),
        ...(resume ? [] : fineTuning.notes),
      ],
      async finish(end, { signal, again = true } = {}) {
        const { adapter: judged, calibration } = await fineTuning.bestAdapter(end, runtime, signal);
        const whole = again && (await refit({ plan, fineTuning, end }, judged, runtime, { signal, onFitting }));
        const tooLarge = format === "float32" ? undefined : sources.float32TooLarge?.(base);
        const notes = [...(whole ? [REFIT_NOTE] : []), ...(tooLarge ? [tooLarge] : [])];
        const found = { adapter: whole || judged, calibration, notes };
        if (format === "float32" || tooLarge) return { ...found, base };
        const exact = await sources.readBase("float32", task);
        const onFloat32 = await fineTuning.evaluateOn(exact, judged, runtime, signal);
        return { ...found, base: exact, onFloat32 };
      },
      release,
    };
  } catch (error) {
    await release();
    throw error;
  }
}
