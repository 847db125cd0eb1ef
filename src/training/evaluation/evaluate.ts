import { UserError } from "../../errors.ts";
import { areFinite, type Tensors } from "../../graph/tensor.ts";
import { releaseOnFailure } from "../../runtime/release-on-failure.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { EvaluationSplit, Example, Prediction, TaskData } from "../../tasks/example.ts";
import { metricsOf, scoresOf } from "../../tasks/examples.ts";
import { type PairScores, shortScores } from "../../tasks/metrics/pair-scores.ts";
import type { Readout, TrainingExample } from "../../tasks/task-kind.ts";
import { findTaskKind, objectiveOf } from "../../tasks/task-kinds.ts";
import { ObjectiveGraph } from "../objective/objective-graph.ts";
import { totalWeight } from "../objective/objective-inputs.ts";
import { Predictor } from "../prediction/predictor.ts";
import type { TellDone } from "../progress.ts";
import type { AdaptedModel } from "../step-graph.ts";
import type { SampleAnswer } from "../training-records.ts";

/** A split to evaluate on: its examples as read and as encoded, in the same order. */
export interface EncodedSplit extends EvaluationSplit {
  examples: Example[];
  encoded: readonly TrainingExample[];
}

/** Scores of a model on validation examples. */
export interface Evaluation {
  /** Metrics by name; for several splits `<metric>_matched` and the like. */
  metrics: Record<string, number>;
  /** Standard errors of the metrics, for a single split that is not too large. */
  errors?: Record<string, number>;
  /** Weighted mean over all labelled rows. */
  loss: number;
  /** Pair scores of the first split, for kinds of task that compare pairs. */
  scores?: PairScores;
  /** Answers to the first prompts, for runs that learn from rewards. */
  samples?: SampleAnswer[];
  /** Whether the model predicts the same for all examples although their labels differ. */
  alike: boolean;
}

/** Maximum number of examples for which standard errors are computed, by leaving out groups of examples. */
const MOST_RESAMPLED = 1000;

/** Maximum number of outputs in memory at once, one row for each example: 10,000 examples of 10,000 classes take 400 MB. */
const MOST_OUTPUTS = 2 ** 25;

type Task = Pick<TaskData, "kind" | "labels" | "metrics" | "options">;

/** Computes metrics and the mean loss of a model, whose weights may change between two evaluations. */
export class Evaluator {
  readonly #atOnce: number;

  private constructor(
    private readonly task: Task,
    private readonly predictor: Predictor,
    private readonly objective: ObjectiveGraph | Readout,
    private readonly batchSize: number,
    outputs: number,
  ) {
    this.#atOnce = examplesAtOnce(batchSize, outputs);
  }

  /** @param batchSize examples per loss if the loss couples examples, as in training */
  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    task: Task,
    { tokenBudget, batchSize }: { tokenBudget: number; batchSize: number },
  ): Promise<Evaluator> {
    const kind = findTaskKind(task.kind);
    const predictor = await Predictor.compile(model, weights, runtime, { tokenBudget, readBy: kind });
    const objective =
      kind.readout ??
      (await releaseOnFailure(predictor, () => ObjectiveGraph.compile(objectiveOf(task), model.labelCount, runtime)));
    return new Evaluator(task, predictor, objective, batchSize, kind.readout?.width ?? model.labelCount);
  }

  /**
   * @param signal aborts between two runs of the graph
   * @param onDone receives the numbers of examples read and of all examples
   * @throws the signal's reason; UserError if outputs are not finite
   */
  async evaluate(splits: readonly EncodedSplit[], signal?: AbortSignal, onDone?: TellDone): Promise<Evaluation> {
    const { kind, labels, options } = this.task;
    const metrics: Record<string, number> = {};
    let loss = 0;
    let total = 0;
    let scores: PairScores | undefined;
    let errors: Record<string, number> | undefined;
    const predicted = new Set<string>();
    const labelled = new Set<string>();
    for (const { name, examples, encoded } of splits) {
      const predictions: Prediction[] = [];
      for (let from = 0; from < encoded.length; from += this.#atOnce) {
        const part = encoded.slice(from, from + this.#atOnce);
        const logits = await this.predictor.logits(part, undefined, signal, (done) =>
          onDone?.(from + done, encoded.length),
        );
        if (!logits.every(areFinite)) {
          throw new UserError(
            `the model's outputs on the ${name} examples are not finite; lower the learning rate, or check the model's weights`,
          );
        }
        for (const [i, values] of logits.entries()) {
          predictions.push(findTaskKind(kind).predict(labels, examples[from + i]!, part[i]!, values, options));
        }
        for (let start = 0; start < part.length; start += this.batchSize) {
          const batch = part.slice(start, start + this.batchSize);
          const values = logits.slice(start, start + batch.length);
          const weight = totalWeight(batch);
          loss +=
            this.objective instanceof ObjectiveGraph
              ? weight * (await this.objective.run(batch, values)).loss
              : lossOf(this.objective, batch, values);
          total += weight;
        }
      }
      for (const each of predictions) predicted.add(shortened(each));
      for (const each of examples) labelled.add(shortened(each));
      const suffix = splits.length > 1 ? `_${name.replace("validation_", "")}` : "";
      const own = await metricsOf(this.task, predictions, examples, signal);
      for (const [metric, value] of Object.entries(own)) metrics[metric + suffix] = value;
      scores ??= findTaskKind(kind).retrieval?.pairScoresOf(predictions, examples);
      if (splits.length === 1 && examples.length <= MOST_RESAMPLED) {
        ({ errors } = await scoresOf(this.task, predictions, examples, signal));
      }
    }
    const shown = scores && { scores: shortScores(scores) };
    return {
      metrics,
      ...(errors && { errors }),
      loss: loss / total,
      ...shown,
      alike: predicted.size === 1 && labelled.size > 1,
    };
  }

  async release(): Promise<void> {
    await this.predictor.release();
    if (this.objective instanceof ObjectiveGraph) await this.objective.release();
  }
}

/** Number of examples whose outputs memory holds at once: whole batches. @param outputs of an example */
export const examplesAtOnce = (batchSize: number, outputs: number): number =>
  batchSize * Math.max(1, Math.floor(MOST_OUTPUTS / (batchSize * outputs)));

const lossOf = (readout: Readout, examples: readonly TrainingExample[], values: readonly Float32Array[]): number =>
  examples.reduce((sum, { weights }, i) => sum + readout.loss(values[i]!, weights), 0);

/** A label as text, with numbers to four digits: values that differ by less count as equal. */
function shortened({ label, labels }: Prediction): string {
  return JSON.stringify({ label, labels }, (_, value) => (typeof value === "number" ? value.toPrecision(4) : value));
}
