import { UserError } from "../../src/errors.ts";
import { writeOnnxFolder } from "../../src/export/onnx/folder.ts";
import { writePeftFolder } from "../../src/export/peft/write.ts";
import {
  fineTuneInPage,
  type PageFineTuneConfig,
  type PageFineTuneOutcome,
  type PageRunEnd,
  type PageRunEvent,
  type PageRunStart,
} from "../../src/fine-tuning/fine-tune-in-page.ts";
import { choosesClass } from "../../src/inference/confidence-threshold.ts";
import { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import { mergeWeights } from "../../src/methods/merge.ts";
import { type Adapter, adapterBytes } from "../../src/model/adapter.ts";
import { fitAdapter } from "../../src/model/fitted-adapter.ts";
import type { ModelFiles } from "../../src/model-files/model-files.ts";
import type { ReportedRun } from "../../src/reports/run-page.ts";
import type { RunResult } from "../../src/runs/records.ts";
import { summarise } from "../../src/runs/run-result.ts";
import { DEVICES } from "../../src/runtime/devices.ts";
import { pageDevices, webRuntime } from "../../src/runtime/runtime-web.ts";
import type { Runtime } from "../../src/runtime/session.ts";
import type { TextPrediction } from "../../src/tasks/built-in-kinds.ts";
import type { Columns, Table } from "../../src/tasks/rows.ts";
import { heldOutText } from "../../src/tasks/split.ts";
import type { CheckpointEvent } from "../../src/training/events.ts";
import type { FittingProgress } from "../../src/training/linear-head/fit-head.ts";
import type { MemoryEstimate } from "../../src/training/memory-estimate.ts";
import type { TrainingState } from "../../src/training/training-state.ts";
import { type FileFacts, factsOf, readExamples, type TaskFacts, taskFactsOf } from "./examples-file.ts";
import type { GivenExamples } from "./given-examples.ts";
import { type ModelFacts, modelFacts } from "./model-facts.ts";
import {
  type DownloadProgress,
  filesOf,
  keep,
  type ModelChoice,
  nameOf,
  revisionOf,
  weightBytes,
} from "./model-store.ts";
import { type RowProblems, rowProblems } from "./row-problems.ts";
import {
  beginSaving,
  canSave,
  findRun,
  forgetRun,
  type RunRecords,
  type RunSettings,
  saveProgress,
  whileAlone,
} from "./saved-run.ts";
import { type WrongExample, wrongExamples } from "./wrong-examples.ts";
import { zipFolder } from "./zip-folder.ts";

/** What the page is told while a run goes on. */
export type SessionEvent =
  | { kind: "download"; progress: DownloadProgress }
  | { kind: "fitting"; progress: FittingProgress }
  | StartFacts
  | Exclude<PageRunEvent, PageRunStart | CheckpointEvent | PageRunEnd>;

/** What is known when training begins. */
export interface StartFacts {
  kind: "start";
  totalSteps: number;
  stepsDone: number;
  /** By what it computes on a graphics card; absent: in WebAssembly. */
  card: string | undefined;
  /** Bytes that training is expected to take in the page; not known of a graphics card. */
  memory: number | undefined;
  notes: readonly string[];
  /** Of steps that an earlier visit has done. */
  records: RunRecords;
  run: Omit<ReportedRun, keyof RunRecords>;
}

/** What a run came to. */
export interface EndFacts {
  /** Whether there is an adapter: an epoch has ended. */
  finished: boolean;
  /** Whether the person ended it before its time. */
  stopped: boolean;
  result?: RunResult;
  /** What was not told before. */
  notes: readonly string[];
  /** How the model is asked: with one text, with two, for an answer, or with a picture. */
  asks: "text" | "pair" | "answer" | "picture";
  /** Whether it chooses one class, so that it can be unsure of it. */
  choosesClass: boolean;
}

/** What a person asks the model of: texts, or a picture. */
export interface Asked {
  text: string;
  textPair?: string;
  /** The picture whose name `text` is. */
  picture?: Blob;
}

/** What the model says of it. */
export interface Said {
  /** In a line. */
  line: string;
  /** Every label with its probability, the likeliest first, where the kind has them. */
  labels: { label: string; probability: number }[];
}

/** A run that was left and can go on. */
export interface LeftRun {
  /** What its model is called. */
  model: string;
  /** Epochs that it has done. */
  epoch: number;
  rows: FileFacts;
  task: TaskFacts;
  settings: RunSettings;
}

export type TakeFormat = "adapter" | "peft" | "onnx";

interface Examples extends GivenExamples {
  table: Table;
}

/** What a run came to, with the pictures that it learned from. */
interface Tuned extends Pick<GivenExamples, "pictures"> {
  model: FineTunedModel;
  adapter: Adapter;
  start: PageRunStart;
  runtime: Runtime;
}

/** All that a page's worker knows: the examples, the model, the run, and what it came to. */
export class TrainingSession {
  readonly #home: string;
  readonly #tell: (event: SessionEvent) => void;
  #examples: Examples | undefined;
  #task: { columns: Partial<Columns>; kind: string | undefined; facts: TaskFacts } | undefined;
  #choice: ModelChoice = { from: "page" };
  #files: ModelFiles | undefined;
  #abort: AbortController | undefined;
  #paused: { wait: Promise<void>; goOn: () => void } | undefined;
  #tuned: Tuned | undefined;
  /** Pictures that the model is asked of, by name. */
  readonly #asked = new Map<string, Blob>();

  /** @param home address of the page's own files */
  constructor(home: string, tell: (event: SessionEvent) => void) {
    this.#home = home;
    this.#tell = tell;
  }

  async read(given: GivenExamples): Promise<FileFacts> {
    this.#examples = undefined;
    this.#examples = { ...given, table: await readExamples(given) };
    return factsOf(given, this.#examples.table);
  }

  chooseColumns(columns: Partial<Columns>, kind: string | undefined): TaskFacts {
    this.#task = undefined;
    if (!this.#examples) throw new UserError("give examples first");
    const facts = taskFactsOf(this.#examples.table, columns, kind);
    this.#task = { columns, kind, facts };
    return facts;
  }

  /** What looks wrong in the examples' rows; undefined where they do not have one class each. */
  rowProblems(): RowProblems | undefined {
    return this.#examples && this.#task && rowProblems(this.#examples.table, this.#task.columns, this.#task.facts);
  }

  /** What is known of a model without its weights. */
  async chooseModel(choice: ModelChoice): Promise<ModelFacts> {
    this.#files = undefined;
    if (!this.#task) throw new UserError("choose the examples first");
    const files = await filesOf(choice, this.#home, (progress) => this.#tell({ kind: "download", progress }));
    const { kind, labels } = this.#task.facts;
    const facts = await modelFacts(
      nameOf(choice),
      files,
      kind,
      labels.map(({ name }) => name),
    );
    this.#choice = choice;
    this.#files = files;
    const download = await weightBytes(choice, this.#home);
    return { ...facts, ...(download !== undefined && { download }) };
  }

  /** Trains on what was chosen, from the beginning. @param options by the names that `aflora train` gives them */
  async train(options: Record<string, unknown>): Promise<EndFacts> {
    this.#listen();
    const { columns, kind } = this.#task!;
    const examples = this.#examples!;
    return whileAlone(async () => {
      const model = this.#choice.from === "disk" ? await kept(this.#choice) : this.#choice;
      const settings: RunSettings = { data: examples.name, model, columns, ...(kind && { kind }), options };
      return this.#run(settings, examples, { steps: [], evaluations: [], freezing: [] });
    });
  }

  /** A run that an earlier visit left. */
  async leftRun(): Promise<LeftRun | undefined> {
    const found = await findRun();
    if (!found) return undefined;
    const { settings, given, state } = found;
    const table = await readExamples(given);
    return {
      model: nameOf(settings.model),
      epoch: state.evaluations.at(-1)?.epoch ?? 0,
      rows: factsOf(given, table),
      task: taskFactsOf(table, settings.columns, settings.kind),
      settings,
    };
  }

  /** Goes on with it. */
  async goOnWithRun(): Promise<EndFacts> {
    this.#listen();
    const found = await findRun();
    if (!found) throw new UserError("what was kept of the run cannot be read any more; train again");
    const { settings, given, state, records } = found;
    const examples = { ...given, table: await readExamples(given) };
    this.#examples = examples;
    this.chooseColumns(settings.columns, settings.kind);
    this.#choice = settings.model;
    this.#files = await filesOf(settings.model, this.#home, (progress) => this.#tell({ kind: "download", progress }));
    return whileAlone(() => this.#run(settings, examples, upTo(records, state.step), state));
  }

  async forgetRun(): Promise<void> {
    if (canSave()) await forgetRun();
  }

  pause(): void {
    let goOn = (): void => {};
    const wait = new Promise<void>((resolve) => {
      goOn = resolve;
    });
    this.#paused ??= { wait, goOn };
  }

  goOn(): void {
    this.#paused?.goOn();
    this.#paused = undefined;
  }

  stop(): void {
    this.#abort?.abort();
    this.goOn();
  }

  /** What the model says of a text or a picture. */
  async ask({ text, textPair, picture }: Asked): Promise<Said> {
    const { model } = this.#tuned!;
    if (model.writes) {
      const [answer] = await model.answers([text], { maxNewTokens: 100 });
      return { line: answer!.text, labels: [] };
    }
    if (picture) this.#asked.set(text, picture);
    try {
      const shown: TextPrediction = await model.predict(textPair ? { text, textPair } : text);
      return { line: model.kind.lineOf(shown), labels: shown.labels?.flatMap(withProbability) ?? [] };
    } finally {
      this.#asked.delete(text);
    }
  }

  /** Validation examples of which the model says something else than their label. */
  async wrong(): Promise<{ of: number; examples: WrongExample[] }> {
    const { model, start, pictures } = this.#tuned!;
    const { examples } = start.task.validation[0]!;
    return { of: examples.length, examples: await wrongExamples(model, examples, pictures) };
  }

  /** The adapter, or the model, as a zipped folder. */
  async take(format: TakeFormat): Promise<Blob> {
    const { adapter, model, runtime } = this.#tuned!;
    const { base } = model;
    if (format === "adapter")
      return zipFolder("adapter", async (folder) => {
        for (const [name, bytes] of Object.entries(adapterBytes(adapter))) await folder.write(name, bytes);
      });
    const fitted = fitAdapter(base, adapter);
    if (format === "peft")
      return zipFolder("peft-adapter", (folder) => writePeftFolder(folder, base, fitted, adapter.parameters));
    const weights = await mergeWeights(base.weights, fitted.adaptation, fitted.parameters, runtime);
    return zipFolder("onnx-model", (folder) => writeOnnxFolder(folder, base, adapter.description, weights));
  }

  /** Hears from now on when a run is to pause or to stop; what was said of the one before does not count. */
  #listen(): void {
    this.goOn();
    this.#abort = new AbortController();
  }

  async #run(
    settings: RunSettings,
    examples: Examples,
    records: RunRecords,
    resume?: TrainingState,
  ): Promise<EndFacts> {
    // A run goes on where it began, so that it ends as if it had not stopped.
    const gone = settings.device !== undefined && !(await pageDevices()).includes(settings.device);
    const runtime = settings.device && (await webRuntime(gone ? {} : { device: settings.device }));
    const config = {
      ...settings.options,
      ...settings.columns,
      ...(settings.kind !== undefined && { kind: settings.kind }),
      model: this.#files!,
      modelName: nameOf(settings.model),
      revision: revisionOf(settings.model),
      train: examples.table,
      openPicture: (path) => this.#asked.get(path) ?? examples.pictures?.[path],
    } as PageFineTuneConfig;
    let started: PageRunStart | undefined;
    let saves = canSave();
    /** Training goes on where the browser has no room, or lets this window keep nothing. */
    const save = async (saving: () => Promise<void>): Promise<void> => {
      if (!saves) return;
      try {
        await saving();
      } catch (error) {
        saves = false;
        const reason = error instanceof Error ? error.message : String(error);
        this.#tell({ kind: "note", text: `the run cannot be kept in this browser: ${reason}` });
      }
    };
    const begin = async (start: PageRunStart): Promise<void> => {
      started = start;
      // What fails before leaves the model of the run before.
      await this.#tuned?.model.release();
      this.#tuned = undefined;
      this.#tell(this.#startFacts(start, settings, records));
      if (gone) this.#tell({ kind: "note", text: GONE });
      const { device } = start;
      if (!resume) await save(() => beginSaving({ ...settings, device }, examples));
    };
    const outcome = await withinMemory(
      fineTuneInPage(config, {
        ...(runtime && { runtime }),
        signal: this.#abort!.signal,
        resume,
        onFitting: async (progress) => {
          this.#tell({ kind: "fitting", progress });
          await this.#turn();
        },
        onEvent: async (event) => {
          if (event.kind === "start") return begin(event);
          if (event.kind === "checkpoint")
            return event.due ? save(() => saveProgress(event.state(), records)) : undefined;
          if (event.kind === "end") return;
          if (event.kind === "step") records.steps.push(event);
          else if (event.kind === "freezing") records.freezing.push(event);
          else if (event.kind === "evaluation") records.evaluations.push(event);
          this.#tell(event);
          await this.#turn();
        },
      }),
    );
    return this.#end(started, { settings, pictures: examples.pictures }, outcome);
  }

  /** Lets the page's messages in: a step keeps this thread. */
  async #turn(): Promise<void> {
    await new Promise<void>((resolve) => {
      const { port1, port2 } = new MessageChannel();
      port1.onmessage = () => resolve();
      port2.postMessage(undefined);
    });
    await this.#paused?.wait;
  }

  #startFacts(start: PageRunStart, { options, columns }: RunSettings, records: RunRecords): StartFacts {
    const { task, base, method, settings, totalSteps, stepsDone, device, memory, notes } = start;
    const { page, usesMainMemory } = DEVICES.find(device);
    return {
      kind: "start",
      totalSteps,
      stepsDone,
      card: page?.isGraphicsCard ? page.name : undefined,
      memory: usesMainMemory ? inPage(memory) : undefined,
      notes,
      records,
      run: {
        method: method.name,
        model: base.name,
        seed: settings.seed,
        data: {
          name: this.#examples!.name,
          trainedOn: task.train.length.toLocaleString("en-US"),
          scoredOn: `${task.validation[0]!.examples.length.toLocaleString("en-US")} ${heldOutText(task.heldOut!.fraction, [task.heldOut!.seed])}`,
        },
        options: { ...options, ...columns, ...settings, ...method.options },
      },
    };
  }

  async #end(
    start: PageRunStart | undefined,
    { settings, pictures }: { settings: RunSettings; pictures: GivenExamples["pictures"] },
    { finished, training, notes }: PageFineTuneOutcome,
  ): Promise<EndFacts> {
    const stopped = training?.aborted ?? true;
    if (!start || !finished) return { stopped, notes: [], finished: false, asks: "text", choosesClass: false };
    const { adapter, base, runtime, onFloat32, calibration } = finished;
    const { memory, task, freezable } = start;
    const model = await withinMemory(FineTunedModel.adapt(base, adapter, runtime));
    this.#tuned = { model, adapter, start, runtime, ...(pictures && { pictures }) };
    const result = summarise({ method: start.method, run: start.settings }, training!, {
      base,
      task,
      freezable,
      onFloat32,
      calibration,
      peakMemory: Number.NaN,
      memory: { ...memory, total: inPage(memory) },
      adapterBytes: adapterBytes(adapter)["adapter.safetensors"]!.byteLength,
      notes: [...new Set([...start.notes, ...notes, ...finished.notes])],
    });
    const asked = { asks: asksFor(model, settings), choosesClass: choosesClass(model.kind) };
    return { stopped, notes: finished.notes, finished: true, ...asked, result };
  }
}

function asksFor({ writes, kind }: FineTunedModel, { columns }: RunSettings): EndFacts["asks"] {
  if (kind.reads === "pictures") return "picture";
  return writes ? "answer" : columns.textPair ? "pair" : "text";
}

const GONE =
  "the run began on a graphics card that this browser no longer offers: it continues in WebAssembly, with slightly different results";

/** Bytes that a run takes in a page: fed to Wasm, weights are there twice. */
const inPage = ({ weights, optimizer, activations, hiddenStates = 0 }: MemoryEstimate): number =>
  2 * weights + optimizer + activations + hiddenStates;

/** A model from the disk, kept for later visits where there is room. */
async function kept(choice: Extract<ModelChoice, { from: "disk" }>): Promise<RunSettings["model"]> {
  const { name, files } = choice;
  // Without it the run trains all the same; it cannot go on after a reload.
  if ("caches" in self) await keep(name, files).catch(() => undefined);
  return { from: "kept", name, files: Object.keys(files) };
}

/** What was recorded before a step. */
function upTo({ steps, evaluations, freezing }: RunRecords, step: number): RunRecords {
  return {
    steps: steps.filter((record) => record.step < step),
    evaluations: evaluations.filter((record) => record.step <= step),
    freezing: freezing.filter((record) => record.step < step),
  };
}

const withProbability = (entry: { label: string; probability?: number } | string) =>
  typeof entry === "object" && entry.probability !== undefined
    ? [{ label: entry.label, probability: entry.probability }]
    : [];

/** @throws UserError where the page ran out of memory. */
async function withinMemory<Value>(promise: Promise<Value>): Promise<Value> {
  try {
    return await promise;
  } catch (error) {
    const message = error instanceof Error ? error.message : String(error);
    if (
      error instanceof UserError ||
      !/bad_alloc|out of memory|allocation failed|memory access|Aborted\(/i.test(message)
    )
      throw error;
    throw new UserError(
      "this page's memory ran out; lower the maximum tokens per text or the tokens computed at once, choose a smaller model, or close other tabs, then reload the page",
    );
  }
}
