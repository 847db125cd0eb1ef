import { countFlops, totalFlops } from "../graph/flops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { DropoutLayer } from "../models/forward-context.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import { DropoutInputs } from "./dropout-inputs.ts";
import { cutMicroBatches } from "./micro-batches.ts";
import { modelInputs } from "./model-inputs.ts";
import type { Objective } from "./objective.ts";
import { type AdaptedModel, GRADIENT, writeStep } from "./step-graph.ts";
import type { TrainingExample } from "./training-example.ts";

export interface StepSettings {
  objective: Objective;
  /** Most tokens of a micro-batch, padding included. */
  tokenBudget: number;
  /** Dropout as the model's configuration says. */
  dropout: boolean;
  /** Of the dropout masks. */
  seed: number;
  padTokenId: number;
}

export interface StepOutcome {
  /** Mean over the rows that the batch's examples label, by their weights. */
  loss: number;
  /** Of the mean loss, by parameter; the caller may change them in place. */
  gradients: Map<string, Tensor<"float32">>;
  /** Real tokens. */
  tokens: number;
  /** Floating-point operations done, padding included. */
  flops: number;
}

/** A compiled training step: a batch goes in as micro-batches, its loss and gradients come out. */
export class TrainingStep {
  readonly #model: AdaptedModel;
  readonly #settings: StepSettings;
  readonly #graph: CompiledGraph;
  readonly #dropouts: DropoutInputs;
  readonly #flops: ReturnType<typeof countFlops>;

  private constructor(
    model: AdaptedModel,
    settings: StepSettings,
    graph: CompiledGraph,
    dropouts: readonly DropoutLayer[],
    flops: ReturnType<typeof countFlops>,
  ) {
    this.#model = model;
    this.#settings = settings;
    this.#graph = graph;
    this.#dropouts = new DropoutInputs(dropouts);
    this.#flops = flops;
  }

  /** Writes and compiles the step for what trains now. `weights` holds the model's and the method's, changed in place. */
  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    settings: StepSettings,
  ): Promise<TrainingStep> {
    const { outputs, dropouts } = writeStep(model, settings.objective, settings);
    const graph = await runtime.compile(outputs, weights);
    return new TrainingStep(model, settings, graph, dropouts, countFlops(Object.values(outputs)));
  }

  get compileSeconds(): number {
    return this.#graph.compileSeconds;
  }

  /**
   * Loss and gradients of a batch: its micro-batches' sums, so that they equal those of one padded batch.
   * @param step number of the optimizer step, from 0: selects the dropout masks
   */
  async run(step: number, batch: readonly TrainingExample[]): Promise<StepOutcome> {
    const total = batch.reduce((sum, { weights }) => sum + weights.reduce((a, b) => a + b, 0), 0) || 1;
    const scale = this.#settings.objective === "binary-cross-entropy" ? total * this.#model.labelCount : total;
    const outcome: StepOutcome = { loss: 0, gradients: new Map(), tokens: 0, flops: 0 };
    const lengths = batch.map(({ encoding }) => encoding.inputIds.length);
    for (const [i, rows] of cutMicroBatches(lengths, this.#settings.tokenBudget).entries()) {
      const examples = rows.map((row) => batch[row]!);
      const length = lengths[rows[0]!]!;
      const results = await this.#graph.run(this.#inputs(step, examples, length, scale, i === 0 ? 1 : 0));
      outcome.loss += asFloat32(results.loss!).data[0]!;
      outcome.tokens += rows.reduce((sum, row) => sum + lengths[row]!, 0);
      outcome.flops += totalFlops(this.#flops({ batch: rows.length, sequence: length }));
      for (const [output, gradient] of Object.entries(results)) {
        if (output.startsWith(GRADIENT)) addTo(outcome.gradients, output.slice(GRADIENT.length), asFloat32(gradient));
      }
    }
    return outcome;
  }

  release(): Promise<void> {
    return this.#graph.release();
  }

  #inputs(
    step: number,
    examples: readonly TrainingExample[],
    length: number,
    scale: number,
    penaltyWeight: number,
  ): Record<string, Tensor> {
    const { labelCount, head } = this.#model;
    const rows = head === "token" ? examples.length * length : examples.length;
    const targets = new Float32Array(rows * labelCount);
    const weights = new Float32Array(rows);
    examples.forEach((example, i) => {
      // Rows of one position stand together: an example's tokens are the batch's size apart.
      for (let row = 0, to = i; row < example.weights.length; row++, to += examples.length) {
        targets.set(example.targets.subarray(row * labelCount, (row + 1) * labelCount), to * labelCount);
        weights[to] = example.weights[row]! / scale;
      }
    });
    const inputs = modelInputs(
      this.#model,
      examples.map(({ encoding }) => encoding),
      this.#settings.padTokenId,
    );
    const draw = {
      seed: this.#settings.seed,
      step,
      examples: examples.map(({ index }) => index),
      sequence: length,
    };
    return {
      ...inputs,
      ...this.#dropouts.draw(draw, inputs),
      targets: float32([rows, labelCount], targets),
      rowWeights: float32([rows, 1], weights),
      penaltyWeight: float32([], Float32Array.of(penaltyWeight)),
    };
  }
}

function addTo(sums: Map<string, Tensor<"float32">>, name: string, gradient: Tensor<"float32">): void {
  const sum = sums.get(name);
  if (!sum) sums.set(name, gradient);
  else for (let i = 0; i < sum.data.length; i++) sum.data[i]! += gradient.data[i]!;
}
