import type { PageRunStart } from "../../src/preparation/fine-tune-in-page.ts";
import type { ReportedRun } from "../../src/reports/run-page.ts";
import { DEVICES } from "../../src/runtime/devices.ts";
import { heldOutText } from "../../src/tasks/split.ts";
import { pageMemory } from "./page-memory.ts";
import type { RunRecords, RunSettings } from "./saved-run.ts";

export interface StartFacts {
  kind: "start";
  totalSteps: number;
  stepsDone: number;
  /** API of the graphics card that computes; undefined for WebAssembly. */
  card: string | undefined;
  /** Estimated bytes of training in the page; undefined for a graphics card. */
  memory: number | undefined;
  notes: readonly string[];
  /** Records of steps from an earlier visit. */
  records: RunRecords;
  run: Omit<ReportedRun, keyof RunRecords>;
}

export function startFacts(
  start: PageRunStart,
  { options, columns, data }: RunSettings,
  records: RunRecords,
): StartFacts {
  const { task, base, method, settings, totalSteps, stepsDone, device, memory, notes } = start;
  const { page, usesMainMemory } = DEVICES.find(device);
  const { examples } = task.validation[0]!;
  const { fraction, seed } = task.heldOut!;
  return {
    kind: "start",
    totalSteps,
    stepsDone,
    card: page?.isGraphicsCard ? page.name : undefined,
    memory: usesMainMemory ? pageMemory(memory) : undefined,
    notes,
    records,
    run: {
      method: method.name,
      model: base.name,
      seed: settings.seed,
      data: {
        name: data,
        trainedOn: task.train.length.toLocaleString("en-US"),
        scoredOn: `${examples.length.toLocaleString("en-US")} ${heldOutText(fraction, [seed])}`,
      },
      options: { ...options, ...columns, ...settings, ...method.options },
    },
  };
}
