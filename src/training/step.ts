import { countFlops, totalFlops } from "../graph/flops.ts";
import { asFloat32, sizeOf as elementsOf, float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import { releaseOnFailure } from "../runtime/release-on-failure.ts";
import type { CompiledGraph, Runtime } from "../runtime/session.ts";
import type { Objective } from "../tasks/losses/objective.ts";
import type { EncodedExample, Targets, TrainingExample } from "../tasks/task-kind.ts";
import { DropoutMasks } from "./dropout-masks.ts";
import type { BoundaryStates } from "./frozen-blocks/boundary-states.ts";
import { cutMicroBatches, fitsOneRun, sizeOf } from "./micro-batches.ts";
import { layOut } from "./model-inputs.ts";
import { ObjectiveGraph } from "./objective-graph.ts";
import { objectiveInputs, targetInputs, totalWeight } from "./objective-inputs.ts";
import type { RolloutRecord } from "./records.ts";
import { singleTexts } from "./single-texts.ts";
import {
  type AdaptedModel,
  GRADIENT,
  type ModelGraph,
  type StepGraphOptions,
  SUM,
  widthRead,
  writeInference,
  writeStep,
} from "./step-graph.ts";

export interface StepSettings {
  objective: Objective;
  /** Most tokens of a micro-batch. */
  tokenBudget: number;
  /** Dropout as the model's configuration says. */
  dropout: boolean;
  /** Whether the backward pass computes each block again, instead of keeping what the forward pass had within it. */
  recompute?: boolean | undefined;
  /** Of the dropout masks. */
  seed: number;
  /** Gives hidden states at the boundary of a model's frozen blocks. */
  boundaryStates?: BoundaryStates | undefined;
}

export interface StepOutcome {
  /** Mean over the rows that the batch's examples label, by their weights; the method's penalty included. */
  loss: number;
  /** Of the mean loss, by parameter; the caller may change them, and has them until the next run. */
  gradients: Map<string, Tensor<"float32">>;
  /** Tokens read. */
  tokens: number;
  /** Floating-point operations done. */
  flops: number;
  /** Of runs that learn from rewards: the answers that it was taken on. */
  rollout?: RolloutRecord;
  /** Those that it would have done in addition had no block frozen. */
  flopsSaved: number;
}

/** Gradients of more elements than this are summed by the graph: in TypeScript it would take a good part of a step. */
const LARGE = 2 ** 22;

/** A compiled training step: a batch goes in, in as many runs as it needs, and its loss and gradients come out. */
export class TrainingStep {
  readonly #model: AdaptedModel;
  readonly #settings: StepSettings;
  /** For a micro-batch; for a whole batch where the objective couples its rows. */
  readonly #graph: ModelRun;
  /** Where the graph sums gradients, by output. */
  readonly #sums: Tensors<"float32"> | undefined;
  readonly #compile: StepCompiler;
  /** Of an objective that couples the rows of a batch: for the parts of one that needs several runs. */
  #parts: { loss: BatchCoupledLoss; graph: ModelRun } | undefined;
  /** For a batch's further micro-batches, where the graph adds their gradients to the sums. */
  #adding: ModelRun | undefined;

  private constructor(model: AdaptedModel, settings: StepSettings, graph: ModelRun, compile: StepCompiler) {
    this.#model = model;
    this.#settings = settings;
    this.#graph = graph;
    this.#compile = compile;
    const shapes = graph.gradientShapes;
    const elements = shapes.reduce((sum, [, shape]) => sum + elementsOf(shape), 0);
    this.#sums = elements > LARGE ? new Map(shapes.map(([output, shape]) => [output, float32(shape)])) : undefined;
  }

  /** Writes and compiles the step for what trains now. `weights` holds the model's and the method's, changed in place. */
  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    settings: StepSettings,
  ): Promise<TrainingStep> {
    const compile: StepCompiler = {
      step: (options) => {
        const write = (of: AdaptedModel) => writeStep(of, settings.objective, { ...settings, ...options });
        return ModelRun.compile(model, write, weights, runtime, settings.seed);
      },
      loss: () => BatchCoupledLoss.compile(model, weights, runtime, settings),
    };
    return new TrainingStep(model, settings, await compile.step(), compile);
  }

  /** Seconds that compiling took. */
  get compileSeconds(): number {
    return this.#graph.compiled.compileSeconds;
  }

  /**
   * Loss and gradients of a batch: its micro-batches' sums, so that they equal those of the batch in one piece.
   * @param step number of the optimizer step, from 0: selects the dropout masks
   * @param signal ends it between two runs of the graph
   * @param ahead examples of the batches that come next
   * @throws the signal's reason
   */
  async run(
    step: number,
    batch: readonly TrainingExample[],
    signal?: AbortSignal,
    ahead?: () => readonly TrainingExample[],
  ): Promise<StepOutcome> {
    const { objective, tokenBudget, boundaryStates } = this.#settings;
    const outputs = this.#model.labelCount;
    const total = totalWeight(batch);
    const outcome: StepOutcome = { loss: 0, gradients: new Map(), tokens: 0, flops: 0, flopsSaved: 0 };
    const add = ({ flops, flopsSaved }: Pick<StepOutcome, "flops" | "flopsSaved">): void => {
      outcome.flops += flops;
      outcome.flopsSaved += flopsSaved;
    };
    const couples = objective.couples === "batch";
    // What a micro-batch does not cut apart: a text, or the texts of an example where its loss needs them at once.
    const units = couples ? singleTexts(batch) : batch;
    const sizes = units.map(sizeOf);
    const budget = { tokens: tokenBudget, outputs };
    const isWhole = couples && fitsOneRun(sizes, budget);
    const cut = isWhole ? [[...units.keys()]] : cutMicroBatches(sizes, budget);
    const boundary = this.#model.frozenBlocks?.count ?? 0;
    if (boundary > 0) {
      const textsAhead = ahead && (() => singleTexts(ahead()));
      const flops = await boundaryStates!.prepare(singleTexts(batch), boundary, { signal, ahead: textsAhead });
      add({ flops, flopsSaved: -flops });
    }
    const fedAtBoundary = (examples: readonly EncodedExample[]) => (boundary > 0 ? boundaryStates!.rows(examples) : {});
    const parts = couples && !isWhole ? await this.#compileParts() : undefined;
    const coupled = await parts?.loss.run(step, batch, units, cut, fedAtBoundary, signal);
    if (coupled) {
      outcome.loss = coupled.loss;
      add(coupled);
    }
    for (const [i, chosen] of cut.entries()) {
      signal?.throwIfAborted();
      const own = () => (isWhole ? batch : chosen.map((row) => batch[row]!));
      const examples = singleTexts(chosen.map((row) => units[row]!));
      const inputs = {
        ...(coupled ? coupled.inputs[i]! : objectiveInputs(objective, outputs, own(), total)),
        penaltyWeight: float32([], Float32Array.of(i === 0 ? 1 : 0)),
        ...fedAtBoundary(examples),
      };
      const { results, ...done } = await (this.#sums && i > 0
        ? this.#add(this.#sums, step, examples, inputs)
        : (parts?.graph ?? this.#graph).run(step, examples, inputs, this.#sums));
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

  async #compileParts() {
    if (!this.#parts) {
      const loss = await this.#compile.loss();
      this.#parts = { loss, graph: await releaseOnFailure(loss, () => this.#compile.step({ part: true })) };
    }
    return this.#parts;
  }

  /** A micro-batch whose gradients the graph adds to the sums, in place. */
  async #add(
    sums: Tensors<"float32">,
    step: number,
    examples: readonly EncodedExample[],
    inputs: Record<string, Tensor>,
  ): Promise<ModelOutcome> {
    this.#adding ??= await this.#compile.step({ part: this.#parts !== undefined, adds: true });
    const soFar = [...sums].map(([output, sum]) => [SUM + output.slice(GRADIENT.length), sum]);
    return this.#adding.run(step, examples, { ...inputs, ...Object.fromEntries(soFar) }, sums);
  }

  async release(): Promise<void> {
    await this.#parts?.loss.release();
    await this.#parts?.graph.compiled.release();
    await this.#graph.compiled.release();
    await this.#adding?.compiled.release();
  }
}

/** What a step may need, compiled. */
interface StepCompiler {
  step(options?: Pick<StepGraphOptions, "part" | "adds">): Promise<ModelRun>;
  loss(): Promise<BatchCoupledLoss>;
}

interface ModelOutcome extends Pick<StepOutcome, "flops" | "flopsSaved"> {
  results: Record<string, Tensor>;
}

/** A compiled model with what its runs are fed. */
class ModelRun {
  readonly compiled: CompiledGraph;
  readonly #graph: ModelGraph;
  readonly #masks: DropoutMasks;
  readonly #flops: ReturnType<typeof countFlops>;
  /** Had no block frozen. */
  readonly #wholeFlops: ReturnType<typeof countFlops>;

  private constructor(compiled: CompiledGraph, graph: ModelGraph, whole: ModelGraph, seed: number) {
    this.compiled = compiled;
    this.#graph = graph;
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

  /** Names and shapes of the outputs that hold gradients. */
  get gradientShapes(): [output: string, shape: number[]][] {
    const gradients = Object.entries(this.#graph.outputs).filter(([output]) => output.startsWith(GRADIENT));
    return gradients.map(([output, { shape }]) => [output, shape as number[]]);
  }

  /** @param into tensors to write outputs into */
  async run(
    step: number,
    examples: readonly EncodedExample[],
    more: Record<string, Tensor> = {},
    into?: Tensors,
  ): Promise<ModelOutcome> {
    const batch = layOut(this.#graph.streams, examples);
    const inputs = { ...batch.inputs, ...this.#masks.draw(step, batch), ...more };
    const results = await this.compiled.run(inputs, undefined, into);
    const flops = totalFlops(this.#flops(batch.sizes));
    return { results, flops, flopsSaved: totalFlops(this.#wholeFlops(batch.sizes)) - flops };
  }
}

/**
 * The gradient of an objective that needs all rows of a batch at once with respect to each row's outputs, where the batch does not
 * fit into one run: it goes through the model without gradients first (Gao et al. 2021, arXiv 2101.06983). Dropout masks are the
 * same both times.
 */
class BatchCoupledLoss {
  readonly #forward: ModelRun;
  readonly #graph: ObjectiveGraph;
  readonly #objective: Objective;
  readonly #outputs: number;

  private constructor(forward: ModelRun, graph: ObjectiveGraph, objective: Objective, outputs: number) {
    this.#forward = forward;
    this.#graph = graph;
    this.#objective = objective;
    this.#outputs = outputs;
  }

  static async compile(model: AdaptedModel, weights: Tensors, runtime: Runtime, settings: StepSettings) {
    const { objective } = settings;
    const write = (of: AdaptedModel): ModelGraph => writeInference(of, { ...settings, readBy: { objective } });
    const forward = await ModelRun.compile(model, write, weights, runtime, settings.seed);
    const graph = await releaseOnFailure(forward.compiled, () =>
      ObjectiveGraph.compile(objective, model.labelCount, runtime),
    );
    return new BatchCoupledLoss(forward, graph, objective, model.labelCount);
  }

  /**
   * @param texts those of the batch's examples, one after the other
   * @param cut into micro-batches, as indices of texts
   * @param fedAtBoundary what is fed of frozen blocks
   * @returns the loss, and what each micro-batch is fed: the gradient with respect to what the objective reads of its outputs
   */
  async run(
    step: number,
    batch: readonly TrainingExample[],
    texts: readonly (EncodedExample & Partial<Targets>)[],
    cut: readonly (readonly number[])[],
    fedAtBoundary: (examples: readonly EncodedExample[]) => Record<string, Tensor>,
    signal: AbortSignal | undefined,
  ) {
    const width = widthRead(this.#objective, this.#outputs);
    const targetsOf = (chosen: readonly number[]): Record<string, Tensor> => {
      if (!this.#objective.rowValue) return {};
      const examples = chosen.map((i) => texts[i]! as Targets);
      return targetInputs(this.#objective, this.#outputs, examples);
    };
    const logits: Float32Array[] = new Array(texts.length);
    const done = { flops: 0, flopsSaved: 0 };
    for (const chosen of cut) {
      signal?.throwIfAborted();
      const examples = chosen.map((i) => texts[i]!);
      const run = await this.#forward.run(step, examples, { ...targetsOf(chosen), ...fedAtBoundary(examples) });
      const values = asFloat32(run.results.logits!).data;
      let start = 0;
      for (const i of chosen) {
        const end = start + (texts[i]!.rows?.length ?? 1) * width;
        logits[i] = values.subarray(start, end);
        start = end;
      }
      done.flops += run.flops;
      done.flopsSaved += run.flopsSaved;
    }
    const { loss, gradients } = await this.#graph.run(batch, logits);
    const inputs = cut.map((chosen) => {
      const rows = chosen.map((i) => gradients[i]!);
      const joined = new Float32Array(rows.reduce((sum, { length }) => sum + length, 0));
      let end = 0;
      for (const row of rows) {
        joined.set(row, end);
        end += row.length;
      }
      return { outputGradients: float32([joined.length / width, width], joined), ...targetsOf(chosen) };
    });
    return { loss, ...done, inputs };
  }

  async release(): Promise<void> {
    await this.#forward.compiled.release();
    await this.#graph.release();
  }
}

/** The model as it would train had no block frozen. */
function withoutFrozenBlocks({ frozenBlocks, trainable, ...model }: AdaptedModel): AdaptedModel {
  const own = [...frozenBlocks!.parameters].filter((name) => model.adaptation.trainable.has(name));
  return { ...model, ...(trainable && { trainable: new Set([...trainable, ...own]) }) };
}

function addTo({ data: sum }: Tensor<"float32">, { data: gradient }: Tensor<"float32">): void {
  for (let i = 0; i < sum.length; i++) sum[i]! += gradient[i]!;
}
