import { countFlops, totalFlops } from "../graph/flops.ts";
import { asFloat32, float32, int32, sizeOf, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { DropoutLayer } from "../models/forward-context.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/objective.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { DropoutInputs } from "./dropout-inputs.ts";
import { cutMicroBatches } from "./micro-batches.ts";
import { modelInputs } from "./model-inputs.ts";
import { type AdaptedModel, GRADIENT, writeStep } from "./step-graph.ts";

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
    const outcome: StepOutcome = { loss: 0, gradients: new Map(), tokens: 0, flops: 0 };
    const lengths = batch.map(({ encoding }) => encoding.inputIds.length);
    for (const [i, rows] of cutMicroBatches(lengths, this.#settings.tokenBudget).entries()) {
      const examples = rows.map((row) => batch[row]!);
      const length = lengths[rows[0]!]!;
      const results = await this.#graph.run(this.#inputs(step, examples, length, total, i === 0 ? 1 : 0));
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
    total: number,
    penaltyWeight: number,
  ): Record<string, Tensor> {
    const { labelCount, head } = this.#model;
    const rows = head === "token" ? examples.length * length : examples.length;
    const { dtype, shape } = this.#settings.objective.target(labelCount);
    const width = sizeOf(shape);
    const targets =
      dtype === "int32" ? int32([rows, ...shape], new Int32Array(rows * width)) : float32([rows, ...shape]);
    const weights = new Float32Array(rows);
    examples.forEach((example, i) => {
      example.weights.forEach((weight, row) => {
        // Rows of one position stand together: an example's tokens are the batch's size apart.
        const to = i + (example.rows?.[row] ?? 0) * examples.length;
        targets.data.set(example.targets.data.subarray(row * width, (row + 1) * width), to * width);
        weights[to] = weight / total;
      });
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
      targets,
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
