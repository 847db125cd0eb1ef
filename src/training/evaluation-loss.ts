import { Graph } from "../graph/graph.ts";
import { asFloat32, float32, int32, sizeOf } from "../graph/tensor.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/objective.ts";
import type { Targets } from "../tasks/task-kind.ts";

/** The objective's own graph over outputs that are there already. */
export class EvaluationLoss {
  readonly #objective: Objective;
  readonly #outputs: number;
  readonly #graph: CompiledGraph;

  private constructor(objective: Objective, outputs: number, graph: CompiledGraph) {
    this.#objective = objective;
    this.#outputs = outputs;
    this.#graph = graph;
  }

  static async compile(objective: Objective, outputs: number, runtime: Runtime): Promise<EvaluationLoss> {
    const graph = new Graph();
    const { dtype, shape } = objective.target(outputs);
    const loss = objective.loss(
      graph.leaf("input", "logits", "float32", ["rows", outputs]),
      graph.leaf("input", "targets", dtype, ["rows", ...shape]),
      graph.leaf("input", "rowWeights", "float32", ["rows", 1]),
    );
    return new EvaluationLoss(objective, outputs, await runtime.compile({ loss }, new Map()));
  }

  /** Mean over the rows of all examples, by their weights. @param logits of each example `[rows, outputs]` */
  async mean(logits: readonly Float32Array[], examples: readonly Targets[]): Promise<number> {
    const { dtype, shape } = this.#objective.target(this.#outputs);
    const rows = examples.reduce((sum, { weights }) => sum + weights.length, 0);
    const size = sizeOf(shape);
    const inputs = {
      logits: float32([rows, this.#outputs]),
      targets: dtype === "int32" ? int32([rows, ...shape], new Int32Array(rows * size)) : float32([rows, ...shape]),
      rowWeights: float32([rows, 1]),
    };
    const total = examples.reduce((sum, { weights }) => weights.reduce((a, b) => a + b, sum), 0);
    let row = 0;
    examples.forEach(({ targets, weights }, i) => {
      inputs.logits.data.set(logits[i]!, row * this.#outputs);
      inputs.targets.data.set(targets.data, row * size);
      for (const weight of weights) inputs.rowWeights.data[row++] = weight / total;
    });
    const { loss } = await this.#graph.run(inputs);
    return asFloat32(loss!).data[0]!;
  }

  release(): Promise<void> {
    return this.#graph.release();
  }
}
