import { adapterBytes } from "../../src/base-models/adapter.ts";
import { choosesClass } from "../../src/inference/confidence-threshold.ts";
import type { FineTunedModel } from "../../src/inference/fine-tuned-model.ts";
import type { PageFineTuneOutcome, PageRunStart } from "../../src/preparation/fine-tune-in-page.ts";
import { type RunResult, summarise } from "../../src/runs/run-result.ts";
import { pageMemory } from "./page-memory.ts";
import type { RunSettings } from "./saved-run.ts";

export interface EndFacts {
  /** Whether there is an adapter, because an epoch has ended. */
  finished: boolean;
  stopped: boolean;
  result?: RunResult;
  /** Notes that were not shown before. */
  notes: readonly string[];
  /** Input of the model: one text, two texts, a prompt for an answer, or a picture. */
  asks: "text" | "pair" | "answer" | "picture";
  /** Whether the model chooses one class, so that it can be unsure of it. */
  choosesClass: boolean;
}

export const unfinishedFacts = ({ training }: PageFineTuneOutcome): EndFacts => ({
  stopped: training?.aborted ?? true,
  notes: [],
  finished: false,
  asks: "text",
  choosesClass: false,
});

export function endFacts(
  model: FineTunedModel,
  start: PageRunStart,
  { finished, training, notes }: PageFineTuneOutcome,
  settings: RunSettings,
): EndFacts {
  const { adapter, base, onFloat32, calibration, notes: lastNotes } = finished!;
  const { memory, task, freezable } = start;
  const result = summarise({ method: start.method, run: start.settings }, training!, {
    base,
    task,
    freezable,
    onFloat32,
    calibration,
    peakMemory: Number.NaN,
    memory: { ...memory, total: pageMemory(memory) },
    adapterBytes: adapterBytes(adapter)["adapter.safetensors"]!.byteLength,
    notes: [...new Set([...start.notes, ...notes, ...lastNotes])],
  });
  return {
    stopped: training?.aborted ?? true,
    notes: lastNotes,
    finished: true,
    asks: inputOf(model, settings),
    choosesClass: choosesClass(model.kind),
    result,
  };
}

function inputOf({ writes, kind }: FineTunedModel, { columns }: RunSettings): EndFacts["asks"] {
  if (kind.reads === "pictures") return "picture";
  return writes ? "answer" : columns.textPair ? "pair" : "text";
}
