import type { ModelFiles } from "../../src/checkpoints/model-files.ts";
import {
  fineTuneInPage,
  type PageFineTuneConfig,
  type PageFineTuneOutcome,
  type PageRunEnd,
  type PageRunEvent,
  type PageRunStart,
} from "../../src/preparation/fine-tune-in-page.ts";
import { pageDevices, webRuntime } from "../../src/runtime/runtime-web.ts";
import type { Table } from "../../src/tasks/rows.ts";
import type { CheckpointEvent } from "../../src/training/events.ts";
import type { TrainingState } from "../../src/training/training-state.ts";
import type { GivenExamples } from "./given-examples.ts";
import { type DownloadProgress, nameOf, revisionOf } from "./model-store.ts";
import { withinMemory } from "./page-memory.ts";
import { beginSaving, canSave, type RunRecords, type RunSettings, saveProgress } from "./saved-run.ts";
import { type StartFacts, startFacts } from "./start-facts.ts";

export type SessionEvent =
  | { kind: "download"; progress: DownloadProgress }
  | StartFacts
  | Exclude<PageRunEvent, PageRunStart | CheckpointEvent | PageRunEnd>;

export interface Examples extends GivenExamples {
  table: Table;
}

export interface PageRun {
  settings: RunSettings;
  examples: Examples;
  files: ModelFiles;
  /** Records of earlier steps. Training adds its own. */
  records: RunRecords;
  resume?: TrainingState | undefined;
}

export interface PageRunHooks {
  tell(event: SessionEvent): void;
  openPicture(path: string): Blob | undefined;
  /** Called when training begins. If the run fails before, the model of the run before stays. */
  onStart(): Promise<void>;
  /** Awaited after each event: lets messages of the page in, and waits while the run is paused. */
  turn(): Promise<void>;
  signal: AbortSignal;
}

const DEVICE_IS_GONE =
  "the run began on a graphics card that this browser no longer offers: it continues in WebAssembly, with slightly different results";

/** Trains in the page, and saves the progress in the browser. @returns the outcome, and the start if training began */
export async function trainInPage(
  { settings, examples, files, records, resume }: PageRun,
  { tell, openPicture, onStart, turn, signal }: PageRunHooks,
): Promise<{ start: PageRunStart | undefined; outcome: PageFineTuneOutcome }> {
  // A resumed run uses its earlier device, so that it ends as if it had not stopped.
  const isGone = settings.device !== undefined && !(await pageDevices()).includes(settings.device);
  const runtime = settings.device && (await webRuntime(isGone ? {} : { device: settings.device }));
  const config = {
    ...settings.options,
    ...settings.columns,
    ...(settings.kind !== undefined && { kind: settings.kind }),
    model: files,
    modelName: nameOf(settings.model),
    revision: revisionOf(settings.model),
    train: examples.table,
    openPicture,
  } as PageFineTuneConfig;
  const save = untilFailure((text) => tell({ kind: "note", text }));
  let started: PageRunStart | undefined;
  const begin = async (start: PageRunStart): Promise<void> => {
    started = start;
    await onStart();
    tell(startFacts(start, settings, records));
    if (isGone) tell({ kind: "note", text: DEVICE_IS_GONE });
    const { device } = start;
    if (!resume) await save(() => beginSaving({ ...settings, device }, examples));
  };
  const training = fineTuneInPage(config, {
    ...(runtime && { runtime }),
    signal,
    resume,
    onEvent: async (event) => {
      if (event.kind === "start") return begin(event);
      if (event.kind === "checkpoint") return event.due ? save(() => saveProgress(event.state(), records)) : undefined;
      if (event.kind === "end") return;
      if (event.kind === "step") records.steps.push(event);
      else if (event.kind === "freezing") records.freezing.push(event);
      else if (event.kind === "evaluation") records.evaluations.push(event);
      tell(event);
      await turn();
    },
  });
  const outcome = await withinMemory(training);
  return { start: started, outcome };
}

/** Returns a function that saves until saving fails. Training continues without it, with a note. */
function untilFailure(note: (text: string) => void): (saving: () => Promise<void>) => Promise<void> {
  let saves = canSave();
  return async (saving) => {
    if (!saves) return;
    try {
      await saving();
    } catch (error) {
      saves = false;
      note(`the run cannot be kept in this browser: ${error instanceof Error ? error.message : String(error)}`);
    }
  };
}
