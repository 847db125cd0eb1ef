import { UserError } from "../errors.ts";
import { asFloat32, type Tensors } from "../graph/tensor.ts";
import type { StreamInputs } from "../models/token-stream.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { EncodedExample } from "../tasks/task-kind.ts";
import { cutMicroBatches } from "./micro-batches.ts";
import { layOut } from "./model-inputs.ts";
import { type AdaptedModel, writeInference } from "./step-graph.ts";

/** Most tokens of one run of a predictor's graph, where nothing is asked for. */
const TOKEN_BUDGET = 2048;

/** An adapted model that is only asked for its head's outputs. */
export class Predictor {
  readonly #outputs: number;
  readonly #streams: readonly StreamInputs[];
  readonly #graph: CompiledGraph;
  readonly #tokenBudget: number;
  #released = false;

  private constructor(outputs: number, streams: readonly StreamInputs[], graph: CompiledGraph, tokenBudget: number) {
    this.#outputs = outputs;
    this.#streams = streams;
    this.#graph = graph;
    this.#tokenBudget = tokenBudget;
  }

  /** @param tokenBudget most tokens of one run of the graph */
  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    tokenBudget = TOKEN_BUDGET,
  ): Promise<Predictor> {
    const { outputs, streams } = writeInference(model);
    return new Predictor(model.labelCount, streams, await runtime.compile(outputs, weights), tokenBudget);
  }

  /**
   * The head's outputs for each example, `[rows, outputs]`, in the order given.
   * @param adapter tensors of the method and the head to use this time, in place of those compiled with
   * @throws UserError where it was released.
   */
  async logits(examples: readonly EncodedExample[], adapter?: Tensors): Promise<Float32Array[]> {
    if (this.#released) throw new UserError("the model was released and can predict no more; load it again");
    const results: Float32Array[] = new Array(examples.length);
    const lengths = examples.map(({ encoding, decoder }) => encoding.inputIds.length + (decoder?.inputIds.length ?? 0));
    for (const chosen of cutMicroBatches(lengths, this.#tokenBudget)) {
      const { inputs } = layOut(
        this.#streams,
        chosen.map((i) => examples[i]!),
      );
      const { logits } = await this.#graph.run(inputs, adapter);
      const values = asFloat32(logits!).data;
      let start = 0;
      for (const i of chosen) {
        const end = start + (examples[i]!.rows?.length ?? 1) * this.#outputs;
        results[i] = values.slice(start, end);
        start = end;
      }
    }
    return results;
  }

  /** Frees the graph; more than once does no more. */
  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.#graph.release();
  }
}
