import { asFloat32, float32, type Tensor } from "../../graph/tensor.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { Objective } from "../../tasks/losses/objective.ts";
import type { EncodedExample, Targets, TrainingExample } from "../../tasks/task-kind.ts";
import type { MicroBatchRunner } from "../model-run.ts";
import { widthRead } from "../step-graph.ts";
import { ObjectiveGraph } from "./objective-graph.ts";
import { targetInputs } from "./objective-inputs.ts";

/**
 * Computes the gradient of a batch-coupled objective with respect to each row's outputs, if the batch does not fit in one run: the batch
 * first goes through the model without gradients (Gao et al. 2021, arXiv 2101.06983). Dropout masks are the same both times.
 */
export class BatchCoupledLoss {
  private constructor(
    private readonly forward: MicroBatchRunner,
    private readonly graph: ObjectiveGraph,
    private readonly objective: Objective,
    private readonly outputs: number,
  ) {}

  /** @param forward returns the values that the objective reads, from outputs `[rows, outputs]` */
  static async compile(forward: MicroBatchRunner, objective: Objective, outputs: number, runtime: Runtime) {
    return new BatchCoupledLoss(forward, await ObjectiveGraph.compile(objective, outputs, runtime), objective, outputs);
  }

  async run(
    step: number,
    batch: readonly TrainingExample[],
    texts: readonly (EncodedExample & Partial<Targets>)[],
    cut: readonly (readonly number[])[],
    boundaryInputs: (examples: readonly EncodedExample[]) => Record<string, Tensor>,
    signal: AbortSignal | undefined,
  ) {
    const width = widthRead(this.objective, this.outputs);
    const targetsOf = (chosen: readonly number[]): Record<string, Tensor> => {
      if (!this.objective.rowValue) return {};
      const examples = chosen.map((i) => texts[i]! as Targets);
      return targetInputs(this.objective, this.outputs, examples);
    };
    const logits: Float32Array[] = new Array(texts.length);
    const done = { flops: 0, flopsSaved: 0 };
    const microBatches = cut.map((chosen) => () => {
      const examples = chosen.map((i) => texts[i]!);
      return { examples, inputs: { ...targetsOf(chosen), ...boundaryInputs(examples) } };
    });
    let at = 0;
    for await (const run of this.forward.outcomes(step, microBatches, signal)) {
      const values = asFloat32(run.results.logits!).data;
      let start = 0;
      for (const i of cut[at++]!) {
        const end = start + (texts[i]!.rows?.length ?? 1) * width;
        logits[i] = values.subarray(start, end);
        start = end;
      }
      done.flops += run.flops;
      done.flopsSaved += run.flopsSaved;
    }
    const { loss, gradients } = await this.graph.run(batch, logits);
    const inputs = cut.map((chosen) => {
      const rows = chosen.map((i) => gradients[i]!);
      const joined = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
      let end = 0;
      for (const row of rows) {
        joined.set(row, end);
        end += row.length;
      }
      return { outputGradients: float32([joined.length / width, width], joined), ...targetsOf(chosen) };
    });
    return { loss, ...done, inputs };
  }

  release(): Promise<void> {
    return this.graph.release();
  }
}
