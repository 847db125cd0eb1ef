import type { BaseModel } from "../base-models/base-model.ts";
import type { RunMemory } from "../preparation/memory-fit-node.ts";
import type { RunConfig } from "../preparation/run-options-node.ts";
import type { TaskData } from "../tasks/example.ts";
import type { Calibration } from "../training/calibration/calibrate.ts";
import type { Evaluation } from "../training/evaluation/evaluate.ts";
import type { TrainingEnd } from "../training/events.ts";
import type { TrainingState } from "../training/training-state.ts";
import type { RunResult } from "./records.ts";

export function summarise(
  { method, run }: { method: { name: string }; run: Pick<RunConfig["run"], "seed" | "base"> },
  { state, best, last, trainable, kept }: TrainingEnd,
  facts: {
    base: BaseModel;
    onFloat32: Evaluation | undefined;
    task: TaskData;
    peakMemory: number;
    memory: RunMemory;
    freezable: readonly string[];
    /** Number of blocks, and the bytes that a step needs less at the end, by the estimate; if blocks may freeze. */
    blocks?: { count: number; activationsSaved: number } | undefined;
    calibration?: Calibration | undefined;
    adapterBytes: number;
    notes: readonly string[];
  },
): RunResult {
  const training = state.stepSeconds.reduce((sum, seconds) => sum + seconds, 0);
  const sorted = state.stepSeconds.toSorted((a, b) => a - b);
  return {
    method: method.name,
    task: facts.task.name,
    model: facts.base.name,
    seed: run.seed,
    base: run.base,
    metrics: best!.metrics,
    ...(best!.errors && { errors: best!.errors }),
    ...(facts.onFloat32 && { float32Metrics: facts.onFloat32.metrics }),
    ...(facts.calibration && { calibration: facts.calibration }),
    bestEpoch: best!.epoch,
    lastEpochMetrics: last!.metrics,
    trainable,
    frozen: { count: Object.keys(state.frozenAtStep).length, of: facts.freezable.length },
    frozenAtStep: Object.fromEntries(facts.freezable.map((name) => [name, state.frozenAtStep[name] ?? null])),
    ...(facts.blocks && {
      blocks: {
        frozenAtStep: Array.from({ length: facts.blocks.count }, (_, block) => state.blocksFrozenAtStep[block] ?? null),
        flopsSaved: state.flopsSaved,
        secondsSaved: secondsSaved(state),
        activationsSaved: facts.blocks.activationsSaved,
        kept,
      },
    }),
    ...(state.rollout && {
      rollout: { ...state.rollout, stepping: training - state.rollout.generating - state.rollout.scoring },
    }),
    steps: state.step,
    epochs: last!.epoch,
    seconds: state.seconds,
    secondsPerStep: sorted[sorted.length >> 1] ?? 0,
    tokensPerSecond: training > 0 ? state.tokens / training : 0,
    peakMemory: facts.peakMemory,
    memoryEstimate: facts.memory,
    flops: state.flops,
    adapterBytes: facts.adapterBytes,
    notes: facts.notes,
  };
}

/** Compares with the mean step before the first block froze. */
function secondsSaved({ stepSeconds, blocksFrozenAtStep: [first] }: TrainingState): number {
  if (first === undefined) return 0;
  const [before, after] = [stepSeconds.slice(0, first + 1), stepSeconds.slice(first + 1)];
  const sum = (seconds: readonly number[]): number => seconds.reduce((total, each) => total + each, 0);
  return (after.length * sum(before)) / before.length - sum(after);
}
