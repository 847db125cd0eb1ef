import { PaddedStream } from "../../architectures/streams/padded-stream.ts";
import { UserError } from "../../errors.ts";
import type { Value } from "../../graph/graph.ts";
import { reshape } from "../../graph/ops.ts";
import { int64, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { CompiledGraph, KeptTensor } from "../../runtime/compiled-graph.ts";
import { releaseOnFailure } from "../../runtime/release-on-failure.ts";
import type { Runtime } from "../../runtime/session.ts";
import { type AdaptedModel, writeEncoded } from "../../training/step-graph.ts";

export interface EncodedTexts {
  /** Keys and values of the decoder's attention to them, `[texts, heads, positions, size]`, by output name. */
  keys: Record<string, KeptTensor>;
  /** `[texts, positions]`, 0 at padding. */
  mask: Tensor<"int64">;
}

export class SourceEncoder {
  private constructor(
    private readonly graph: CompiledGraph,
    private readonly keys: CompiledGraph,
    private readonly maxLength: number,
  ) {}

  static async compile(
    model: AdaptedModel,
    keys: Readonly<Record<string, Value>>,
    weights: Tensors,
    runtime: Runtime,
  ): Promise<SourceEncoder> {
    const { maxLength, hiddenSize } = model.config;
    let stream: PaddedStream | undefined;
    const { outputs } = writeEncoded(model, { stream: (graph) => (stream ??= new PaddedStream(graph, maxLength)) });
    const hidden: Value = reshape(outputs.hidden, ["batch", "sequence", hiddenSize]);
    const graph = await runtime.compile({ hidden }, new Map([...weights, ...stream!.tables]));
    const ofDecoder = await releaseOnFailure(graph, () => runtime.compile(keys, weights));
    return new SourceEncoder(graph, ofDecoder, maxLength);
  }

  async read(texts: readonly (readonly number[])[], adapter?: Tensors): Promise<EncodedTexts> {
    const positions = Math.max(...texts.map(({ length }) => length));
    if (positions > this.maxLength) {
      throw new UserError(`a text of ${positions} tokens is longer than the ${this.maxLength} that the model reads`);
    }
    const shape = [texts.length, positions];
    const padding = ({ length }: readonly number[]): number[] => Array<number>(positions - length).fill(0);
    const mask = int64(
      shape,
      texts.flatMap((text) => [...text.map(() => 1), ...padding(text)]),
    );
    const ids = int64(
      shape,
      texts.flatMap((text) => [...text, ...padding(text)]),
    );
    const { hidden } = await this.graph.runAndKeep({ input_ids: ids, attention_mask: mask }, adapter);
    try {
      return { keys: await this.keys.runAndKeep({ encoder_hidden_states: hidden! }, adapter), mask };
    } finally {
      hidden!.release();
    }
  }

  /** Frees the graphs. Encoded texts remain until they are released. */
  async release(): Promise<void> {
    await this.graph.release();
    await this.keys.release();
  }
}
