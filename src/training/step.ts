import { countFlops, totalFlops } from "../graph/flops.ts";
import { asFloat32, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/objective.ts";
import type { TrainingExample } from "../tasks/task-kind.ts";
import { DropoutMasks } from "./dropout-masks.ts";
import { cutMicroBatches, sizeOf } from "./micro-batches.ts";
import { layOut } from "./model-inputs.ts";
import { ObjectiveGraph } from "./objective-graph.ts";
import { objectiveInputs, totalWeight } from "./objective-inputs.ts";
import { type AdaptedModel, GRADIENT, type ModelGraph, writeInference, writeStep } from "./step-graph.ts";

export interface StepSettings {
  objective: Objective;
  /** Most tokens of a micro-batch. */
  tokenBudget: number;
  /** Dropout as the model's configuration says. */
  dropout: boolean;
  /** Of the dropout masks. */
  seed: number;
}

export interface StepOutcome {
  /** Mean over the rows that the batch's examples label, by their weights; the method's penalty included. */
  loss: number;
  /** Of the mean loss, by parameter; the caller may change them. */
  gradients: Map<string, Tensor<"float32">>;
  /** Tokens read. */
  tokens: number;
  /** Floating-point operations done. */
  flops: number;
}

/** A compiled training step: a batch goes in as micro-batches, its loss and gradients come out. */
export class TrainingStep {
  readonly #model: AdaptedModel;
  readonly #settings: StepSettings;
  readonly #graph: ModelRun;
  readonly #coupling: Coupling | undefined;

  private constructor(model: AdaptedModel, settings: StepSettings, graph: ModelRun, coupling: Coupling | undefined) {
    this.#model = model;
    this.#settings = settings;
    this.#graph = graph;
    this.#coupling = coupling;
  }

  /** Writes and compiles the step for what trains now. `weights` holds the model's and the method's, changed in place. */
  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    settings: StepSettings,
  ): Promise<TrainingStep> {
    const { objective, seed } = settings;
    const coupling =
      objective.couples === "batch" ? await Coupling.compile(model, weights, runtime, settings) : undefined;
    const graph = await ModelRun.compile(writeStep(model, objective, settings), weights, runtime, seed);
    return new TrainingStep(model, settings, graph, coupling);
  }

  /** Seconds that compiling took. */
  get compileSeconds(): number {
    return this.#graph.compiled.compileSeconds;
  }

  /**
   * Loss and gradients of a batch: its micro-batches' sums, so that they equal those of the batch in one piece.
   * @param step number of the optimizer step, from 0: selects the dropout masks
   */
  async run(step: number, batch: readonly TrainingExample[]): Promise<StepOutcome> {
    const { objective, tokenBudget } = this.#settings;
    const outputs = this.#model.labelCount;
    const total = totalWeight(batch);
    const outcome: StepOutcome = { loss: 0, gradients: new Map(), tokens: 0, flops: 0 };
    const sizes = batch.map(sizeOf);
    const cut = cutMicroBatches(sizes, { tokens: tokenBudget, outputs }).map((part) => part.map((i) => batch[i]!));
    const coupled = await this.#coupling?.run(step, cut);
    if (coupled) {
      outcome.loss = coupled.loss;
      outcome.flops = coupled.flops;
    }
    for (const [i, examples] of cut.entries()) {
      const { results, flops } = await this.#graph.run(step, examples, {
        ...(coupled
          ? { outputGradients: coupled.gradients[i]! }
          : objectiveInputs(objective, outputs, examples, total)),
        penaltyWeight: float32([], Float32Array.of(i === 0 ? 1 : 0)),
      });
      outcome.loss += Number(results.loss!.data[0]);
      outcome.flops += flops;
      for (const [output, tensor] of Object.entries(results)) {
        if (output.startsWith(GRADIENT)) addTo(outcome.gradients, output.slice(GRADIENT.length), asFloat32(tensor));
      }
    }
    outcome.tokens = sizes.reduce((sum, { tokens }) => sum + tokens, 0);
    return outcome;
  }

  async release(): Promise<void> {
    await this.#coupling?.release();
    await this.#graph.compiled.release();
  }
}

/** A compiled model with what its runs are fed. */
class ModelRun {
  readonly compiled: CompiledGraph;
  readonly #graph: ModelGraph;
  readonly #masks: DropoutMasks;
  readonly #flops: ReturnType<typeof countFlops>;

  private constructor(compiled: CompiledGraph, graph: ModelGraph, seed: number) {
    this.compiled = compiled;
    this.#graph = graph;
    this.#masks = new DropoutMasks(graph.dropouts, seed);
    this.#flops = countFlops(Object.values(graph.outputs));
  }

  static async compile(graph: ModelGraph, weights: Tensors, runtime: Runtime, seed: number): Promise<ModelRun> {
    return new ModelRun(await runtime.compile(graph.outputs, weights), graph, seed);
  }

  async run(step: number, examples: readonly TrainingExample[], more: Record<string, Tensor> = {}) {
    const batch = layOut(this.#graph.streams, examples);
    const results = await this.compiled.run({ ...batch.inputs, ...this.#masks.draw(step, batch), ...more });
    return { results, flops: totalFlops(this.#flops(batch.sizes)) };
  }
}

/**
 * The gradient of an objective that needs all rows of a batch at once with respect to each row's outputs: the batch goes
 * through the model without gradients first (Gao et al. 2021, arXiv 2101.06983). Dropout masks are the same both times.
 */
class Coupling {
  readonly #forward: ModelRun;
  readonly #objective: ObjectiveGraph;
  readonly #outputs: number;

  private constructor(forward: ModelRun, objective: ObjectiveGraph, outputs: number) {
    this.#forward = forward;
    this.#objective = objective;
    this.#outputs = outputs;
  }

  static async compile(model: AdaptedModel, weights: Tensors, runtime: Runtime, settings: StepSettings) {
    const forward = await ModelRun.compile(writeInference(model, settings), weights, runtime, settings.seed);
    const objective = await ObjectiveGraph.compile(settings.objective, model.labelCount, runtime);
    return new Coupling(forward, objective, model.labelCount);
  }

  /** @returns the loss, and for each micro-batch the gradient with respect to its outputs, `[rows, outputs]` */
  async run(step: number, cut: readonly (readonly TrainingExample[])[]) {
    const logits: Float32Array[] = [];
    let flops = 0;
    for (const examples of cut) {
      const run = await this.#forward.run(step, examples);
      logits.push(asFloat32(run.results.logits!).data);
      flops += run.flops;
    }
    const { loss, gradients } = await this.#objective.run(cut.flat(), logits);
    const tensors = gradients.map((data) => float32([data.length / this.#outputs, this.#outputs], data));
    return { loss, flops, gradients: tensors };
  }

  async release(): Promise<void> {
    await this.#forward.compiled.release();
    await this.#objective.release();
  }
}

function addTo(sums: Map<string, Tensor<"float32">>, name: string, gradient: Tensor<"float32">): void {
  const sum = sums.get(name);
  if (!sum) sums.set(name, gradient);
  else for (let i = 0; i < gradient.data.length; i++) sum.data[i]! += gradient.data[i]!;
}
