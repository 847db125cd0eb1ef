import { asFloat32, elementsOf, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import { releaseOnFailure } from "../runtime/release-on-failure.ts";
import type { Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { EncodedExample, TrainingExample } from "../tasks/task-kind.ts";
import { cutMicroBatches, exampleSize, fitsOneRun, runBudget } from "./batches/micro-batches.ts";
import { singleTexts } from "./batches/single-texts.ts";
import type { BoundaryStates } from "./frozen-blocks/boundary-states.ts";
import { type MicroBatch, type MicroBatchRunner, type ModelOutcome, ModelRun } from "./model-run.ts";
import { BatchCoupledLoss } from "./objective/batch-coupled-loss.ts";
import { objectiveInputs, totalWeight } from "./objective/objective-inputs.ts";
import { type AdaptedModel, GRADIENT, SUM } from "./step-graph.ts";
import { type StepMachines, type StepPart, writePart } from "./step-part.ts";
import type { RolloutRecord } from "./training-records.ts";

export interface StepSettings {
  objective: Objective;
  tokenBudget: number;
  dropout: boolean;
  /** Whether the backward pass computes each block again, instead of keeping the block's values from the forward pass. */
  recompute?: boolean | undefined;
  seed: number;
  boundaryStates?: BoundaryStates | undefined;
  machines?: StepMachines | undefined;
}

export interface StepOutcome {
  /** Mean over the batch's labelled rows, by their weights, including the method's penalty. */
  loss: number;
  /** Gradients of the mean loss, by parameter. The caller may change them, and they are valid until the next run. */
  gradients: Map<string, Tensor<"float32">>;
  tokens: number;
  /** Floating-point operations done. */
  flops: number;
  rollout?: RolloutRecord;
  /** Additional operations if no block were frozen. */
  flopsSaved: number;
}

/** Gradients with more elements than this are summed by the graph: in TypeScript it would take a good part of a step. */
const LARGE = 2 ** 22;

/** Whether the graph sums gradients of these shapes. It rounds differently than adding them one after the other. */
export const isLargeSum = (shapes: readonly (readonly number[])[]): boolean =>
  shapes.reduce((sum, shape) => sum + elementsOf(shape), 0) > LARGE;

/** A compiled training step. It takes a batch, in as many runs as needed, and returns its loss and gradients. */
export class TrainingStep {
  readonly #sums: Tensors<"float32"> | undefined;
  readonly #compile: StepCompiler;
  /** Graphs for the parts of a batch that needs several runs, if the objective couples its rows. */
  #parts: { loss: BatchCoupledLoss; outputs: StepGraph; graph: StepGraph } | undefined;
  /** Graph for a batch's further micro-batches, if the graph adds their gradients to the sums. */
  #adding: ModelRun | undefined;

  private constructor(
    private readonly model: AdaptedModel,
    private readonly settings: StepSettings,
    private readonly graph: StepGraph,
    compile: StepCompiler,
  ) {
    this.#compile = compile;
    const shapes = graph.own.gradientShapes;
    const isLarge = !settings.machines && isLargeSum(shapes.map(([, shape]) => shape));
    this.#sums = isLarge ? new Map(shapes.map(([output, shape]) => [output, float32(shape)])) : undefined;
  }

  /** Writes and compiles the step for the parameters that train now. `weights` of the model and the method are changed in place. */
  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    settings: StepSettings,
  ): Promise<TrainingStep> {
    const { objective, dropout, recompute, seed } = settings;
    const shared = settings.machines?.share(model, weights);
    const graphOf = (part: StepPart, adds = false): Promise<ModelRun> => {
      const write = (of: AdaptedModel) => writePart(part, of, { objective, dropout, recompute, adds });
      return ModelRun.compile(model, write, weights, runtime, seed);
    };
    const compile: StepCompiler = {
      async graph(part) {
        const own = await graphOf(part);
        return { own, runner: shared?.(part, own) ?? own };
      },
      adding: (part) => graphOf(part, true),
      loss: ({ runner }) => BatchCoupledLoss.compile(runner, objective, model.labelCount, runtime),
    };
    return new TrainingStep(model, settings, await compile.graph("step"), compile);
  }

  get trained(): Map<string, readonly number[]> {
    return new Map(this.graph.own.gradientShapes.map(([output, shape]) => [output.slice(GRADIENT.length), shape]));
  }

  get compileSeconds(): number {
    return this.graph.own.compiled.compileSeconds;
  }

  /**
   * Computes loss and gradients of a batch. They are the sums over its micro-batches in the order of the cut, so they equal those of the
   * batch in one piece, and are the same to the bit on any machine.
   * @param step number of the optimizer step, from 0: selects the dropout masks
   */
  async run(
    step: number,
    batch: readonly TrainingExample[],
    signal?: AbortSignal,
    ahead?: () => readonly TrainingExample[],
  ): Promise<StepOutcome> {
    const { objective, tokenBudget, boundaryStates } = this.settings;
    const outputs = this.model.labelCount;
    const total = totalWeight(batch);
    const outcome: StepOutcome = { loss: 0, gradients: new Map(), tokens: 0, flops: 0, flopsSaved: 0 };
    const add = ({ flops, flopsSaved }: Pick<StepOutcome, "flops" | "flopsSaved">): void => {
      outcome.flops += flops;
      outcome.flopsSaved += flopsSaved;
    };
    const couples = objective.couples === "batch";
    // Units that a micro-batch does not split: a text, or all texts of an example if its loss needs them at once.
    const units = couples ? singleTexts(batch) : batch;
    const sizes = units.map(exampleSize);
    const budget = runBudget(this.model, tokenBudget);
    const isWhole = couples && fitsOneRun(sizes, budget);
    const cut = isWhole ? [[...units.keys()]] : cutMicroBatches(sizes, budget);
    const boundary = this.model.frozenBlocks?.count ?? 0;
    if (boundary > 0) {
      const textsAhead = ahead && (() => singleTexts(ahead()));
      const flops = await boundaryStates!.prepare(singleTexts(batch), boundary, { signal, ahead: textsAhead });
      add({ flops, flopsSaved: -flops });
    }
    const boundaryInputs = (examples: readonly EncodedExample[]) =>
      boundary > 0 ? boundaryStates!.rows(examples) : {};
    const parts = couples && !isWhole ? await this.#compileParts() : undefined;
    const coupled = await parts?.loss.run(step, batch, units, cut, boundaryInputs, signal);
    if (coupled) {
      outcome.loss = coupled.loss;
      add(coupled);
    }
    const microBatches = cut.map((chosen, i) => (): MicroBatch => {
      const own = () => (isWhole ? batch : chosen.map((row) => batch[row]!));
      const examples = singleTexts(chosen.map((row) => units[row]!));
      const inputs = {
        ...(coupled ? coupled.inputs[i]! : objectiveInputs(objective, outputs, own(), total)),
        penaltyWeight: float32([], Float32Array.of(i === 0 ? 1 : 0)),
        ...boundaryInputs(examples),
      };
      return { examples, inputs };
    });
    for await (const { results, ...done } of this.#outcomes(parts?.graph ?? this.graph, step, microBatches, signal)) {
      outcome.loss += Number(results.loss!.data[0]);
      add(done);
      for (const [output, tensor] of Object.entries(results)) {
        if (!output.startsWith(GRADIENT)) continue;
        const sum = outcome.gradients.get(output.slice(GRADIENT.length));
        if (!sum) outcome.gradients.set(output.slice(GRADIENT.length), asFloat32(tensor));
        else if (!this.#sums) addTo(sum, asFloat32(tensor));
      }
    }
    outcome.tokens = sizes.reduce((sum, { tokens }) => sum + tokens, 0);
    return outcome;
  }

  /** Yields the outcome of each micro-batch. If the graph sums gradients, an outcome has those of all micro-batches so far. */
  async *#outcomes(
    { own, runner }: StepGraph,
    step: number,
    microBatches: readonly (() => MicroBatch)[],
    signal: AbortSignal | undefined,
  ): AsyncGenerator<ModelOutcome, void> {
    if (!this.#sums) return yield* runner.outcomes(step, microBatches, signal);
    for (const [i, microBatch] of microBatches.entries()) {
      signal?.throwIfAborted();
      const { examples, inputs } = microBatch();
      yield await (i > 0 ? this.#add(this.#sums, step, examples, inputs) : own.run(step, examples, inputs, this.#sums));
    }
  }

  async #compileParts() {
    if (!this.#parts) {
      const outputs = await this.#compile.graph("outputs");
      const loss = await releaseOnFailure(outputs.own.compiled, () => this.#compile.loss(outputs));
      const graph = await releaseOnFailure(outputs.own.compiled, () =>
        releaseOnFailure(loss, () => this.#compile.graph("part")),
      );
      this.#parts = { loss, outputs, graph };
    }
    return this.#parts;
  }

  async #add(
    sums: Tensors<"float32">,
    step: number,
    examples: readonly EncodedExample[],
    inputs: Record<string, Tensor>,
  ): Promise<ModelOutcome> {
    this.#adding ??= await this.#compile.adding(this.#parts ? "part" : "step");
    const soFar = [...sums].map(([output, sum]) => [SUM + output.slice(GRADIENT.length), sum]);
    return this.#adding.run(step, examples, { ...inputs, ...Object.fromEntries(soFar) }, sums);
  }

  async release(): Promise<void> {
    const { loss, outputs, graph } = this.#parts ?? {};
    await loss?.release();
    for (const own of [outputs?.own, graph?.own, this.graph.own, this.#adding]) await own?.compiled.release();
  }
}

interface StepGraph {
  own: ModelRun;
  runner: MicroBatchRunner;
}

interface StepCompiler {
  graph(part: StepPart): Promise<StepGraph>;
  /** The same graph, which adds its gradients to sums that are inputs. */
  adding(part: StepPart): Promise<ModelRun>;
  loss(outputs: StepGraph): Promise<BatchCoupledLoss>;
}

function addTo({ data: sum }: Tensor<"float32">, { data: gradient }: Tensor<"float32">): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += gradient[i]!;
}
