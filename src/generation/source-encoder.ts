import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { reshape } from "../graph/ops.ts";
import { int64, type Tensor, type Tensors } from "../graph/tensor.ts";
import { PaddedStream } from "../models/padded-stream.ts";
import type { CompiledGraph, KeptTensor, Runtime } from "../runtime/session.ts";
import { type AdaptedModel, writeEncoded } from "../training/step-graph.ts";

/** Texts as an encoder has read them. */
export interface EncodedTexts {
  /** `[texts, places, hidden]` */
  hidden: KeptTensor;
  /** `[texts, places]`, 0 at padding. */
  mask: Tensor<"int64">;
}

/** An adapted encoder-decoder's encoder, compiled. */
export class SourceEncoder {
  readonly #graph: CompiledGraph;
  readonly #maxLength: number;

  private constructor(graph: CompiledGraph, maxLength: number) {
    this.#graph = graph;
    this.#maxLength = maxLength;
  }

  /** @param weights the model's and the method's by name; what an adapter replaces at {@link read} among them */
  static async compile(model: AdaptedModel, weights: Tensors, runtime: Runtime): Promise<SourceEncoder> {
    const { maxLength, hiddenSize } = model.config;
    let stream: PaddedStream | undefined;
    const { outputs } = writeEncoded(model, { stream: (graph) => (stream ??= new PaddedStream(graph, maxLength)) });
    const hidden: Value = reshape(outputs.hidden, ["batch", "sequence", hiddenSize]);
    const graph = await runtime.compile({ hidden }, new Map([...weights, ...stream!.tables]));
    return new SourceEncoder(graph, maxLength);
  }

  /**
   * @param texts ids, special tokens included
   * @param adapter tensors of the method to read with, in place of those compiled with
   * @throws UserError where a text is longer than the model reads.
   */
  async read(texts: readonly (readonly number[])[], adapter?: Tensors): Promise<EncodedTexts> {
    const places = Math.max(...texts.map(({ length }) => length));
    if (places > this.#maxLength) {
      throw new UserError(`a text of ${places} tokens is longer than the ${this.#maxLength} that the model reads`);
    }
    const shape = [texts.length, places];
    const padding = ({ length }: readonly number[]): number[] => Array<number>(places - length).fill(0);
    const mask = int64(
      shape,
      texts.flatMap((text) => [...text.map(() => 1), ...padding(text)]),
    );
    const ids = int64(
      shape,
      texts.flatMap((text) => [...text, ...padding(text)]),
    );
    const { hidden } = await this.#graph.runAndKeep({ input_ids: ids, attention_mask: mask }, adapter);
    return { hidden: hidden!, mask };
  }

  /** Frees the graph; what it has read stays until it is released. */
  release(): Promise<void> {
    return this.#graph.release();
  }
}
