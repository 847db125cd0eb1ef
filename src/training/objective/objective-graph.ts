import { asFloat32, float32 } from "../../graph/tensor.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { Objective } from "../../tasks/losses/objective.ts";
import type { TrainingExample } from "../../tasks/task-kind.ts";
import { widthRead, writeBatchCoupledLoss } from "../step-graph.ts";
import { objectiveInputs, totalWeight } from "./objective-inputs.ts";

export class ObjectiveGraph {
  private constructor(
    private readonly objective: Objective,
    private readonly outputs: number,
    private readonly graph: CompiledGraph,
  ) {}

  static async compile(objective: Objective, outputs: number, runtime: Runtime): Promise<ObjectiveGraph> {
    const graph = await runtime.compile(writeBatchCoupledLoss(objective, outputs), new Map());
    return new ObjectiveGraph(objective, outputs, graph);
  }

  /**
   * Computes the loss of a whole batch, and its gradient with respect to the values that the objective reads.
   * @param logits per example, `[rows, outputs]` over all its texts; `[rows, 1]` if the objective reads one value per row
   */
  async run(
    examples: readonly TrainingExample[],
    logits: readonly Float32Array[],
  ): Promise<{ loss: number; gradients: Float32Array[] }> {
    const width = widthRead(this.objective, this.outputs);
    const rows = logits.reduce((sum, { length }) => sum + length, 0) / width;
    const joined = new Float32Array(rows * width);
    let end = 0;
    const starts = logits.map((values) => {
      joined.set(values, end);
      end += values.length;
      return end - values.length;
    });
    const { loss, outputGradients } = await this.graph.run({
      logits: float32([rows, width], joined),
      ...objectiveInputs(this.objective, this.outputs, examples, totalWeight(examples)),
    });
    const all = asFloat32(outputGradients!).data;
    return {
      loss: Number(loss!.data[0]),
      gradients: logits.map(({ length }, i) => all.subarray(starts[i]!, starts[i]! + length)),
    };
  }

  release(): Promise<void> {
    return this.graph.release();
  }
}
