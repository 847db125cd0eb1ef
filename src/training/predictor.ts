import { asFloat32, type Tensors } from "../graph/tensor.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { Encoding } from "../tokenization/tokenizer.ts";
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
   * Logits of each encoding, `[labels]`, or `[tokens, labels]` of a token head, in the order given.
   * @param adapter parameters of the method and the head to use this time, in place of those compiled with
   * @param tokenBudget most tokens of one run of the graph, padding included
   */
  async logits(encodings: readonly Encoding[], adapter?: Tensors, tokenBudget = 2048): Promise<Float32Array[]> {
    const { labelCount, head } = this.#model;
    const results: Float32Array[] = new Array(encodings.length);
    const lengths = encodings.map(({ inputIds }) => inputIds.length);
    for (const rows of cutMicroBatches(lengths, tokenBudget)) {
      const inputs = modelInputs(
        this.#model,
        rows.map((row) => encodings[row]!),
        this.#padTokenId,
      );
      const outputs = await this.#graph.run(inputs, adapter);
      const logits = asFloat32(outputs.logits!).data;
      rows.forEach((row, i) => {
        const values = new Float32Array(head === "token" ? lengths[row]! * labelCount : labelCount);
        // Rows of one position stand together: an example's tokens are the batch's size apart.
        for (let at = 0, from = i; at < values.length; at += labelCount, from += rows.length) {
          values.set(logits.subarray(from * labelCount, (from + 1) * labelCount), at);
        }
        results[row] = values;
      });
    }
    return results;
  }

  release(): Promise<void> {
    return this.#graph.release();
  }
}
