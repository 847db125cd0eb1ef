import { mkdir, writeFile } from "node:fs/promises";
import { join } from "node:path";
import { findMethod, METHODS, parseMethodOptions } from "../../src/methods/methods.ts";
import type { DataFingerprint } from "../../src/preparation/data-fingerprint-node.ts";
import { flatOptions, type RunConfig, resolveConfig } from "../../src/preparation/run-options-node.ts";
import type { RunResult } from "../../src/runs/run-result.ts";
import type {
  EvaluationRecord,
  FreezingRecord,
  ScoresRecord,
  StepRecord,
} from "../../src/training/training-records.ts";

export interface MadeUp {
  method?: string;
  task?: string;
  seed?: number;
  blocks?: number;
  steps?: number;
  model?: string;
  metrics?: string[];
  /** Further options, also those that a method does not have. */
  options?: Record<string, unknown>;
}

/** Records as a run would write them: shaped like training, but computed from formulas. */
export function makeUp({
  method = "aflora",
  task = "sst2",
  seed = 1,
  blocks = 6,
  steps = 240,
  model = "all-MiniLM-L6-v2",
  metrics = ["accuracy"],
  options = {},
}: MadeUp = {}) {
  const freezes = method === "aflora";
  const epochs = 4;
  const noise = (a: number, b: number) => {
    const x = Math.sin(a * 12.9898 + b * 78.233 + seed * 37.719) * 43758.5453;
    return x - Math.floor(x);
  };
  const matrices = Array.from({ length: blocks }, (_, block) =>
    ["intermediate.dense.A", "intermediate.dense.B", "output.dense.A", "output.dense.B"].map((kind) => ({
      name: `encoder.layer.${block}.${kind}`,
      // The paper's trend: the intermediate layer's down-projection freezes last, and later in later blocks.
      late: kind === "intermediate.dense.A" ? 0.5 + (0.5 * block) / blocks : 0.4 * noise(block, kind.length),
    })),
  ).flat();
  const initial = steps / 10;
  const final = 0.7 * steps;
  const frozenAtStep: Record<string, number | null> = Object.fromEntries(matrices.map(({ name }) => [name, null]));
  const freezing: FreezingRecord[] = [];
  for (let step = 0; freezes && step < steps && Object.values(frozenAtStep).includes(null); step += 5) {
    const progress = (step - initial) / (steps - initial - final);
    const fraction = progress <= 0 ? 0 : progress >= 1 ? 1 : 1 - (1 - progress) ** 3;
    const scores = Object.fromEntries(
      matrices.map(({ name, late }, i) => [
        name,
        step === 0 ? 0 : 1e-8 * 40 ** late * Math.exp(-step / 80) * (0.7 + 0.6 * noise(step, i)),
      ]),
    );
    const frozen = matrices
      .filter(({ name, late }) => frozenAtStep[name] === null && late < fraction - 0.02)
      .map(({ name }) => name);
    for (const name of frozen) frozenAtStep[name] = step;
    freezing.push({
      kind: "freezing",
      step,
      fraction,
      threshold: fraction > 0 ? 1e-8 * 40 ** fraction * Math.exp(-step / 80) : null,
      scores,
      frozen,
      compileSeconds: frozen.length ? 0.18 + 0.05 * noise(step, 3) : 0,
    });
  }
  const start = { full: 22_565_376, lora: 442_368, vera: 52_224, head: 0 }[method] ?? 177_000;
  const frozenBefore = (step: number) => Object.values(frozenAtStep).filter((at) => at !== null && at < step).length;
  const stepRecords = Array.from({ length: steps }, (_, step): StepRecord => {
    const frozen = frozenBefore(step);
    return {
      kind: "step",
      step,
      epoch: ((step + 1) * epochs) / steps,
      loss: 0.15 + 0.55 * Math.exp(-step / 60) + 0.15 * (noise(step, 9) - 0.5),
      learningRate: 4e-3 * (1 - step / steps),
      gradientNorm: 0.4 + noise(step, 5),
      trainable: Math.round(start * (freezes ? 1 - (0.8 * frozen) / matrices.length : 1)),
      frozen,
      seconds: (method === "vera" ? 0.5 : 0.28) - (0.06 * frozen) / matrices.length + 0.02 * noise(step, 6),
      tokens: 1500,
      memory: 5.2e8,
    };
  });
  const level =
    { aflora: 0.87, lora: 0.86, vera: 0.855, adalora: 0.862, sora: 0.858, full: 0.864, head: 0.79 }[method] ?? 0.8;
  const evaluations = Array.from(
    { length: epochs },
    (_, i): EvaluationRecord => ({
      kind: "evaluation",
      step: ((i + 1) * steps) / epochs,
      epoch: i + 1,
      metrics: Object.fromEntries(
        metrics.map((metric, k) => [metric, level - 0.08 / (i + 1) + 0.02 * noise(i, 7 + k) - 0.03 * k]),
      ),
      loss: 0.34 + 0.1 * Math.abs(i - 2) ** 1.2,
    }),
  );
  const trainable = stepRecords.map((record) => record.trainable);
  const seconds = stepRecords.reduce((sum, record) => sum + record.seconds, 0);
  const last = evaluations.at(-1)!;
  const result: RunResult = {
    method,
    task,
    model,
    seed,
    base: "float32",
    metrics: last.metrics,
    bestEpoch: epochs,
    lastEpochMetrics: last.metrics,
    trainable: {
      start: trainable[0]!,
      average: trainable.reduce((sum, count) => sum + count, 0) / steps,
      end: trainable.at(-1)!,
      head: 770,
    },
    frozen: { count: frozenBefore(Infinity), of: freezes ? matrices.length : 0 },
    frozenAtStep: freezes ? frozenAtStep : {},
    steps,
    epochs,
    seconds,
    secondsPerStep: seconds / steps,
    tokensPerSecond: (1500 * steps) / seconds,
    peakMemory: 5.4e8,
    memoryEstimate: { weights: 9e7, optimizer: 3e6, activations: 2e8, total: 4e8 },
    flops: 4.2e13 * ({ vera: 1, aflora: 0.34, lora: 0.35, full: 0.6, head: 0.12 }[method] ?? 0.4),
    adapterBytes: 4 * start,
    notes: [],
  };
  const { source, run } = resolveConfig({
    ...{ task, data: "glue", model, seed, epochs, batchSize: 32, learningRate: 4e-3, headLearningRate: 4e-3 },
    output: `runs/${method}-${task}-${seed}`,
  });
  const own = METHODS.names.includes(method) ? parseMethodOptions(findMethod(method), {}) : {};
  const config: RunConfig = { source, run, method: { name: method, options: { ...own, ...options } } };
  const dataFingerprint: DataFingerprint = {
    examples: { train: 900, validation: { validation: 100 }, sha256: { all: "all", validation: "held" } },
  };
  return { config, dataFingerprint, steps: stepRecords, evaluations, freezing, scores: [] as ScoresRecord[], result };
}

/** The same run with blocks that freeze from a third of it on, one every 20 steps, all but the last. */
export function withFrozenBlocks(run: ReturnType<typeof makeUp>, blocks = 6): ReturnType<typeof makeUp> {
  const { steps, freezing, result } = run;
  const first = steps.length / 3;
  const frozenBlocksBy = (step: number): number =>
    step < first ? 0 : Math.min(blocks - 1, 1 + Math.floor((step - first) / 20));
  const checks = steps.flatMap(({ step }): FreezingRecord[] => {
    if (step === 0 || step % 10 > 0) return [];
    const boundary = frozenBlocksBy(step);
    const frozenBlocks = boundary - frozenBlocksBy(step - 10);
    const active = (block: number) => block >= boundary - frozenBlocks && block < blocks - 1;
    const scores = Array.from({ length: blocks }, (_, block) =>
      active(block) ? Math.exp(-step / (60 * (block + 1))) : null,
    );
    const own = { step, fraction: 0, threshold: null, scores: {}, frozen: [], compileSeconds: frozenBlocks ? 0.2 : 0 };
    return [{ kind: "freezing", ...own, blocks: { boundary, frozenBlocks, threshold: 0.2, scores } }];
  });
  const frozenAtStep = Array.from({ length: blocks }, (_, block) => (block === blocks - 1 ? null : first + 20 * block));
  const saved = { flopsSaved: 3e13, secondsSaved: -1, activationsSaved: 5e7, kept: { memory: 6e6, file: 0 } };
  return {
    ...run,
    steps: steps.map((record) => ({ ...record, frozenBlocks: frozenBlocksBy(record.step - 1) })),
    freezing: [...freezing, ...checks].sort((a, b) => a.step - b.step),
    result: { ...result, blocks: { frozenAtStep, ...saved } },
  };
}

const lines = (records: object[]) => records.map((record) => `${JSON.stringify(record)}\n`).join("");

/** Writes a made-up run's folder; of an unfinished one, everything but its result. */
export async function writeRun(directory: string, run: ReturnType<typeof makeUp>, finished = true): Promise<string> {
  await mkdir(directory, { recursive: true });
  await writeFile(join(directory, "config.json"), JSON.stringify(flatOptions(run.config)));
  await writeFile(join(directory, "data.json"), JSON.stringify(run.dataFingerprint));
  const metrics = [...run.steps, ...run.evaluations].sort((a, b) => a.step - b.step);
  await writeFile(join(directory, "metrics.jsonl"), lines(metrics));
  if (run.scores.length) await writeFile(join(directory, "scores.jsonl"), lines(run.scores));
  if (run.freezing.length) await writeFile(join(directory, "freezing.jsonl"), lines(run.freezing));
  if (finished) await writeFile(join(directory, "result.json"), JSON.stringify(run.result));
  return directory;
}
