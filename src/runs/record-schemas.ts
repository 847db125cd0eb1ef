import { z } from "zod";
import { BASE_FORMATS } from "../architectures/base-format.ts";

/** JSON has no NaN: it is written as null. */
const measured = z.number().nullable();
const count = z.int().nonnegative();
const amount = z.number().nonnegative();
const rolloutTotals = z.object({ answers: count, failed: count, generating: amount, scoring: amount });
/** A line of `metrics.jsonl`. */
export const metricsRecord = z.discriminatedUnion("kind", [
  z.object({
    kind: z.literal("step"),
    step: count,
    epoch: z.number(),
    loss: measured,
    learningRate: z.number(),
    gradientNorm: measured,
    trainable: z.number(),
    frozen: z.number(),
    frozenBlocks: count.optional(),
    seconds: z.number(),
    tokens: z.number(),
    rollout: rolloutTotals
      .extend({ reward: measured, spread: measured, answerTokens: amount, failure: z.string().optional() })
      .optional(),
    workers: z.array(z.object({ name: z.string(), shards: count, computing: amount, bytes: count })).optional(),
    memory: z.number().optional(),
  }),
  z.object({
    kind: z.literal("evaluation"),
    step: count,
    epoch: amount,
    metrics: z.record(z.string(), measured),
    errors: z.record(z.string(), measured).optional(),
    loss: measured,
    samples: z.array(z.object({ prompt: z.string(), answer: z.string(), reward: measured })).optional(),
  }),
]);
/** A line of `freezing.jsonl`. */
export const freezingRecord = z.object({
  kind: z.literal("freezing"),
  step: count,
  fraction: z.number(),
  threshold: measured,
  scores: z.record(z.string(), measured),
  frozen: z.array(z.string()),
  compileSeconds: z.number(),
  blocks: z.object({ boundary: count, frozenBlocks: count, threshold: measured, scores: z.array(measured) }).optional(),
});
/** A line of `scores.jsonl`. */
export const scoresRecord = z.object({
  kind: z.literal("scores"),
  epoch: amount,
  relevant: z.array(measured),
  others: z.array(measured),
  measure: z.enum(["ndcg_at_10", "rank_agreement"]),
  values: z.array(measured),
  texts: z.array(z.string()),
});

/** `findings.json` */
export const runFindings = z.object({
  examples: count,
  sameAnswer: z.record(z.string(), measured).optional(),
  startsFitted: z.boolean(),
  tables: z.array(
    z.object({
      title: z.string(),
      columns: z.array(z.string()),
      rows: z.array(z.array(z.union([z.string(), measured]))),
      most: count.optional(),
      points: z.array(z.tuple([measured, measured])).optional(),
    }),
  ),
});

/** Predictions of similar probability. */
const bin = z.object({ count, confidence: measured, accuracy: measured });

/** `result.json` */
export const runResult = z.looseObject({
  method: z.string(),
  task: z.string(),
  model: z.string(),
  seed: z.number(),
  base: z.enum(BASE_FORMATS),
  metrics: z.record(z.string(), measured),
  errors: z.record(z.string(), measured).optional(),
  calibration: z
    .object({
      temperature: measured,
      before: z.array(bin),
      after: z.array(bin),
      steps: z.array(z.object({ probability: measured, kept: count, right: count })),
    })
    .optional(),
  bestEpoch: amount,
  lastEpochMetrics: z.record(z.string(), measured),
  trainable: z.object({ start: measured, average: measured, end: measured, head: measured }),
  frozen: z.object({ count, of: count }),
  frozenAtStep: z.record(z.string(), count.nullable()),
  steps: count,
  epochs: amount,
  seconds: measured,
  secondsPerStep: measured,
  tokensPerSecond: measured,
  peakMemory: measured,
  blocks: z
    .object({
      frozenAtStep: z.array(count.nullable()),
      flopsSaved: measured,
      secondsSaved: measured,
      activationsSaved: measured,
      kept: z.object({ memory: count, file: count }),
    })
    .optional(),
  rollout: rolloutTotals.extend({ stepping: amount }).optional(),
  memoryEstimate: z.object({
    weights: count,
    optimizer: count,
    activations: count,
    hiddenStates: count.optional(),
    total: count,
  }),
  flops: measured,
  adapterBytes: measured,
  notes: z.array(z.string()),
});
