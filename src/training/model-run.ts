import { evaluate } from "../graph/dimension.ts";
import { countFlops, totalFlops } from "../graph/flops.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { CompiledGraph } from "../runtime/compiled-graph.ts";
import type { Runtime } from "../runtime/session.ts";
import type { EncodedExample } from "../tasks/task-kind.ts";
import { type LaidOutBatch, layOut } from "./batches/model-inputs.ts";
import { variantOf } from "./dropout/dropout.ts";
import { DropoutMasks } from "./dropout/dropout-masks.ts";
import { type AdaptedModel, GRADIENT, type ModelGraph } from "./step-graph.ts";

export interface MicroBatch {
  examples: readonly EncodedExample[];
  inputs: Record<string, Tensor>;
}

export interface ModelOutcome {
  results: Record<string, Tensor>;
  flops: number;
  flopsSaved: number;
}

export interface MicroBatchRunner {
  /**
   * Yields the outcome of each micro-batch, in their order.
   * @param step number of the optimizer step, from 0: selects the dropout masks
   */
  outcomes(
    step: number,
    microBatches: readonly (() => MicroBatch)[],
    signal?: AbortSignal,
  ): AsyncGenerator<ModelOutcome, void>;
}

export class ModelRun implements MicroBatchRunner {
  readonly #masks: DropoutMasks;
  readonly #flops: ReturnType<typeof countFlops>;
  readonly #wholeFlops: ReturnType<typeof countFlops>;

  private constructor(
    readonly compiled: CompiledGraph,
    private readonly graph: ModelGraph,
    whole: ModelGraph,
    private readonly seed: number,
  ) {
    this.#masks = new DropoutMasks(graph.dropouts, seed);
    this.#flops = countFlops(Object.values(graph.outputs));
    this.#wholeFlops = graph === whole ? this.#flops : countFlops(Object.values(whole.outputs));
  }

  static async compile(
    model: AdaptedModel,
    write: (model: AdaptedModel) => ModelGraph,
    weights: Tensors,
    runtime: Runtime,
    seed: number,
  ): Promise<ModelRun> {
    const graph = write(model);
    const whole = model.frozenBlocks?.count ? write(withoutFrozenBlocks(model)) : graph;
    return new ModelRun(await runtime.compile(graph.outputs, weights), graph, whole, seed);
  }

  get gradientShapes(): [output: string, shape: number[]][] {
    const gradients = Object.entries(this.graph.outputs).filter(([output]) => output.startsWith(GRADIENT));
    return gradients.map(([output, { shape }]) => [output, shape as number[]]);
  }

  async run(
    step: number,
    examples: readonly EncodedExample[],
    more: Record<string, Tensor> = {},
    into?: Tensors,
  ): Promise<ModelOutcome> {
    const batch = layOut(this.graph.streams, examples, (index) => variantOf(this.seed, step, index));
    const inputs = { ...batch.inputs, ...this.#masks.draw(step, batch), ...more };
    return { results: await this.compiled.run(inputs, undefined, into), ...this.#count(batch) };
  }

  async *outcomes(
    step: number,
    microBatches: readonly (() => MicroBatch)[],
    signal?: AbortSignal,
  ): AsyncGenerator<ModelOutcome, void> {
    for (const microBatch of microBatches) {
      signal?.throwIfAborted();
      const { examples, inputs } = microBatch();
      yield await this.run(step, examples, inputs);
    }
  }

  expected(examples: readonly EncodedExample[]): Omit<ModelOutcome, "results"> & { shapes: Map<string, number[]> } {
    const batch = layOut(this.graph.streams, examples);
    const shapes = Object.entries(this.graph.outputs).map(
      ([output, { shape }]) => [output, shape.map((size) => evaluate(size, batch.sizes))] as const,
    );
    return { shapes: new Map(shapes), ...this.#count(batch) };
  }

  #count({ sizes }: LaidOutBatch): Omit<ModelOutcome, "results"> {
    const flops = totalFlops(this.#flops(sizes));
    return { flops, flopsSaved: totalFlops(this.#wholeFlops(sizes)) - flops };
  }
}

function withoutFrozenBlocks({ frozenBlocks, trainable, ...model }: AdaptedModel): AdaptedModel {
  const own = [...frozenBlocks!.parameters].filter((name) => model.adaptation.trainable.has(name));
  return { ...model, ...(trainable && { trainable: new Set([...trainable, ...own]) }) };
}
