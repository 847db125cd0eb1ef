import { asFloat32, type Tensors } from "../graph/tensor.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { EncodedExample } from "../tasks/task-kind.ts";
import { cutMicroBatches } from "./micro-batches.ts";
import { modelInputs } from "./model-inputs.ts";
import { type AdaptedModel, writeInference } from "./step-graph.ts";

/** An adapted model that is only asked for logits. */
export class Predictor {
  readonly #model: AdaptedModel;
  readonly #graph: CompiledGraph;
  readonly #padTokenId: number;

  private constructor(model: AdaptedModel, graph: CompiledGraph, padTokenId: number) {
    this.#model = model;
    this.#graph = graph;
    this.#padTokenId = padTokenId;
  }

  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    padTokenId: number,
  ): Promise<Predictor> {
    return new Predictor(model, await runtime.compile(writeInference(model), weights), padTokenId);
  }

  /**
   * Logits of each example, `[rows, outputs]`, in the order given.
   * @param adapter parameters of the method and the head to use this time, in place of those compiled with
   * @param tokenBudget most tokens of one run of the graph, padding included
   */
  async logits(
    examples: readonly Pick<EncodedExample, "encoding" | "rows">[],
    adapter?: Tensors,
    tokenBudget = 2048,
  ): Promise<Float32Array[]> {
    const { labelCount } = this.#model;
    const results: Float32Array[] = new Array(examples.length);
    const lengths = examples.map(({ encoding }) => encoding.inputIds.length);
    for (const rows of cutMicroBatches(lengths, tokenBudget)) {
      const inputs = modelInputs(
        this.#model,
        rows.map((row) => examples[row]!.encoding),
        this.#padTokenId,
      );
      const outputs = await this.#graph.run(inputs, adapter);
      const logits = asFloat32(outputs.logits!).data;
      rows.forEach((row, i) => {
        const tokens = examples[row]!.rows ?? Int32Array.of(0);
        const values = new Float32Array(tokens.length * labelCount);
        tokens.forEach((token, own) => {
          // Rows of one position stand together: an example's tokens are the batch's size apart.
          const from = i + token * rows.length;
          values.set(logits.subarray(from * labelCount, (from + 1) * labelCount), own * labelCount);
        });
        results[row] = values;
      });
    }
    return results;
  }

  release(): Promise<void> {
    return this.#graph.release();
  }
}
