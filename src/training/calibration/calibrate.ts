import { float32, type Tensors } from "../../graph/tensor.ts";
import type { Runtime } from "../../runtime/session.ts";
import { Turns } from "../../runtime/turns.ts";
import { evenly } from "../../tasks/list.ts";
import type { LinearLoss } from "../../tasks/losses/objective.ts";
import {
  type ConfidenceStep,
  confidenceSteps,
  type ReliabilityBin,
  reliability,
} from "../../tasks/metrics/calibration.ts";
import { argmax, sigmoid, softmax } from "../../tasks/probabilities.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import type { ScoredRows } from "../linear-head/linear-losses.ts";
import { Predictor } from "../prediction/predictor.ts";
import type { TellDone } from "../progress.ts";
import type { AdaptedModel } from "../step-graph.ts";
import { bestFactor } from "./temperature.ts";

/** Calibration of a model's probabilities, measured on examples that it did not train on, and the temperature that corrects it. */
export interface Calibration {
  /** Divisor of the outputs (temperature scaling, Guo et al. 2017, arXiv 1706.04599): above 1 if the model was overconfident. */
  temperature: number;
  /** Reliability by predicted probability, before and after scaling. */
  before: ReliabilityBin[];
  after: ReliabilityBin[];
  /** Accuracy of the most confident predictions after scaling. */
  steps: ConfidenceStep[];
}

interface PredictingOptions {
  tokenBudget: number;
  signal?: AbortSignal | undefined;
}

/** Limit on the outputs for finding a temperature, one row for each example, and the number of examples that always suffices. */
const MOST_OUTPUTS = 2 ** 23;
const ENOUGH_EXAMPLES = 1000;

export type ProbabilityLoss = Exclude<LinearLoss, "squared">;

export async function calibrate(
  model: AdaptedModel,
  weights: Tensors,
  runtime: Runtime,
  held: readonly TrainingExample[],
  {
    loss,
    known,
    tokenBudget,
    signal,
    onDone,
  }: { loss: ProbabilityLoss; known: number; onDone?: TellDone } & PredictingOptions,
): Promise<Calibration> {
  const examples = evenly(held, Math.max(ENOUGH_EXAMPLES, Math.floor(MOST_OUTPUTS / model.labelCount)));
  const predictor = await Predictor.compile(model, weights, runtime, { tokenBudget });
  let logits: Float32Array[];
  try {
    logits = await predictor.logits(examples, undefined, signal, onDone);
  } finally {
    await predictor.release();
  }
  const rows: ScoredRows = {
    outputs: model.labelCount,
    logits: concatenated(logits),
    targets: concatenated(examples.map(({ targets }) => targets.data)),
    weights: concatenated(examples.map((example) => example.weights)),
  };
  const factor = await bestFactor(rows, loss, { known, turns: new Turns(signal) });
  const [before, after] = [1, factor].map((each) => scoredPredictions(rows, loss, each)) as [
    ScoredPredictions,
    ScoredPredictions,
  ];
  return {
    temperature: 1 / factor,
    before: reliability(before.probabilities, before.right),
    after: reliability(after.probabilities, after.right),
    steps: confidenceSteps(after.probabilities, after.right),
  };
}

/** Concatenates arrays without an intermediate list: thousands of classes times a thousand examples are too many for one. */
function concatenated(parts: readonly ArrayLike<number>[]): Float64Array {
  const all = new Float64Array(parts.reduce((sum, { length }) => sum + length, 0));
  let at = 0;
  for (const part of parts) {
    all.set(part, at);
    at += part.length;
  }
  return all;
}

interface ScoredPredictions {
  probabilities: number[];
  right: boolean[];
}

function scoredPredictions(
  { outputs, logits, targets }: ScoredRows,
  loss: ProbabilityLoss,
  factor: number,
): ScoredPredictions {
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

export function withTemperature(
  parameters: Tensors<"float32">,
  layer: string,
  temperature: number,
): Tensors<"float32"> {
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
