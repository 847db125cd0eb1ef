import { z } from "zod";
import { HEAD_FEATURES } from "../architectures/heads.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { TrainingState } from "./training-state.ts";

const PARTS = ["parameters", "start", "best", "optimizer", "method"] as const;

const amount = z.number().nonnegative();
/** JSON has no NaN: an undefined correlation is written as null. */
const measured = z
  .number()
  .nullable()
  .transform((value) => value ?? Number.NaN);
const evaluation = z.object({
  kind: z.literal("evaluation"),
  metrics: z.record(z.string(), measured),
  errors: z.record(z.string(), measured).optional(),
  loss: measured,
  step: amount,
  epoch: amount,
});
const countersSchema = z.object({
  headFeatures: z.enum(HEAD_FEATURES).optional(),
  taskOptions: z.record(z.string(), z.unknown()).optional(),
  step: z.int().nonnegative(),
  tokens: amount,
  flops: amount,
  trainableAtStart: amount,
  trainableSum: amount,
  seconds: amount,
  stepSeconds: z.array(amount),
  rollout: z.object({ answers: amount, failed: amount, generating: amount, scoring: amount }).optional(),
  evaluations: z.array(evaluation),
  frozenAtStep: z.record(z.string(), amount),
  blocksFrozenAtStep: z.array(amount),
  flopsSaved: z.number(),
  bestEpoch: amount.optional(),
  optimizer: z.object({ steps: z.record(z.string(), amount) }),
  method: z.record(z.string(), z.unknown()).optional(),
});

export interface SavedState {
  counters: Record<string, unknown>;
  /** `parameters:…`, `start:…`, `best:…`, `optimizer:…` and `method:…` */
  tensors: Tensors<"float32">;
}

export function saveState({ parameters, start, best, optimizer, method, ...counted }: TrainingState): SavedState {
  const parts: Record<(typeof PARTS)[number], Tensors<"float32"> | undefined> = {
    parameters,
    start,
    best: best?.parameters,
    optimizer: optimizer.tensors,
    method: method?.tensors,
  };
  const tensors = new Map<string, Tensor<"float32">>();
  for (const part of PARTS) {
    for (const [name, tensor] of parts[part] ?? []) tensors.set(`${part}:${name}`, tensor);
  }
  return {
    counters: { ...counted, bestEpoch: best?.epoch, optimizer: optimizer.scalars, method: method?.scalars },
    tensors,
  };
}

export function restoreState(counters: unknown, tensors: Tensors<"float32">): TrainingState | undefined {
  const parsed = countersSchema.safeParse(counters);
  if (!parsed.success) return undefined;
  const { bestEpoch, optimizer, method, ...counted } = parsed.data;
  const part = (prefix: (typeof PARTS)[number]): Tensors<"float32"> =>
    new Map(
      [...tensors]
        .filter(([name]) => name.startsWith(`${prefix}:`))
        .map(([name, tensor]) => [name.slice(prefix.length + 1), tensor]),
    );
  const start = part("start");
  return {
    ...counted,
    parameters: part("parameters"),
    ...(start.size > 0 && { start }),
    ...(bestEpoch !== undefined && { best: { epoch: bestEpoch, parameters: part("best") } }),
    optimizer: { scalars: optimizer, tensors: part("optimizer") },
    ...(method && { method: { scalars: method, tensors: part("method") } }),
  };
}
