import { float32, type Tensors } from "../../graph/tensor.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";
import {
  type ConfidenceStep,
  confidenceSteps,
  type ReliabilityBin,
  reliability,
} from "../../tasks/metrics/calibration.ts";
import { argmax, sigmoid, softmax } from "../../tasks/probabilities.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { Predictor } from "../prediction/predictor.ts";
import type { AdaptedModel } from "../step-graph.ts";
import { bestFactor, type ScoredRows } from "./temperature.ts";

/** How far a model's probabilities were from what was right on examples that it did not train on, and what mends it. */
export interface Calibration {
  /** What the outputs are divided by (temperature scaling, Guo et al. 2017, arXiv 1706.04599): above 1 where it was too sure. */
  temperature: number;
  /** By their probability, before and after that. */
  before: ReliabilityBin[];
  after: ReliabilityBin[];
  /** How many of the surest predictions were right, after that. */
  steps: ConfidenceStep[];
}

/** Losses whose outputs become probabilities. */
export type ProbabilityLoss = Exclude<LinearLoss, "squared">;

/**
 * Finds the temperature at which a model's loss on held-out examples is least.
 * @param examples with one-hot targets, or 0 and 1
 * @param options.known other examples, to which the model's outputs were scaled before: each counts as a held-out one does
 */
export async function calibrate(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  examples: readonly TrainingExample[],
  {
    loss,
    known,
    tokenBudget,
    signal,
  }: { loss: ProbabilityLoss; known: number; tokenBudget: number; signal?: AbortSignal | undefined },
): Promise<Calibration> {
  const predictor = await Predictor.compile(model, weights, runtime, { tokenBudget });
  let logits: Float32Array[];
  try {
    logits = await predictor.logits(examples, undefined, signal);
  } finally {
    await predictor.release();
  }
  const rows: ScoredRows = {
    outputs: model.labelCount,
    logits: joined(logits),
    targets: joined(examples.map(({ targets }) => targets.data)),
    weights: joined(examples.map((example) => example.weights)),
  };
  const factor = bestFactor(rows, loss, known);
  const [before, after] = [1, factor].map((each) => judged(rows, loss, each)) as [Judged, Judged];
  return {
    temperature: 1 / factor,
    before: reliability(before.probabilities, before.right),
    after: reliability(after.probabilities, after.right),
    steps: confidenceSteps(after.probabilities, after.right),
  };
}

/** One after the other: thousands of classes of a thousand examples are no list of numbers. */
function joined(parts: readonly ArrayLike<number>[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

interface Judged {
  probabilities: number[];
  right: boolean[];
}

/** Of one choice how often the likeliest is right; of several labels, how often each is. */
function judged({ outputs, logits, targets }: ScoredRows, loss: ProbabilityLoss, factor: number): Judged {
  const [probabilities, right]: [number[], boolean[]] = [[], []];
  for (let start = 0; start < logits.length; start += outputs) {
    const scaled = Float32Array.from(logits.subarray(start, start + outputs), (logit) => factor * logit);
    const shares = loss === "softmax" ? softmax(scaled) : sigmoid(scaled);
    for (const k of loss === "softmax" ? [argmax(shares)] : shares.keys()) {
      probabilities.push(shares[k]!);
      right.push(targets[start + k]! > 0.5);
    }
  }
  return { probabilities, right };
}

/** A head's last layer whose outputs are divided by the temperature, by the names of its weights. */
export function cooled(parameters: Tensors<"float32">, layer: string, temperature: number): Tensors<"float32"> {
  return new Map(
    [...parameters].map(([name, tensor]) => {
      if (name !== `${layer}.weight` && name !== `${layer}.bias`) return [name, tensor];
      return [
        name,
        float32(
          tensor.shape,
          tensor.data.map((value) => value / temperature),
        ),
      ];
    }),
  );
}
