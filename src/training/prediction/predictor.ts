import type { HeadFeatures } from "../../architectures/heads.ts";
import type { StreamInputs } from "../../architectures/streams/token-stream.ts";
import { UserError } from "../../errors.ts";
import { asFloat32, type Tensor, type Tensors } from "../../graph/tensor.ts";
import type { CompiledGraph } from "../../runtime/compiled-graph.ts";
import type { Runtime } from "../../runtime/session.ts";
import type { EncodedExample, Targets } from "../../tasks/task-kind.ts";
import { costOf, cutMicroBatches, exampleSize, type RunBudget, runBudget } from "../batches/micro-batches.ts";
import { layOut } from "../batches/model-inputs.ts";
import { singleTexts } from "../batches/single-texts.ts";
import { targetInputs } from "../objective/objective-inputs.ts";
import { type AdaptedModel, type ReadBy, readerOf, writeInference } from "../step-graph.ts";

export const TOKEN_BUDGET = 2048;

export interface PredictorOptions {
  /** Maximum number of tokens of one run of the graph (default: {@link TOKEN_BUDGET}). */
  tokenBudget?: number;
  /** The kind of task, if it reads the outputs within the graph. */
  readBy?: ReadBy | undefined;
  /** Features that the graph returns side by side, instead of the head's outputs. */
  features?: readonly HeadFeatures[] | undefined;
  /** Whether each row also has the features that the head's last layer reads, after its outputs. */
  withFeatures?: boolean;
}

export type PredictedExample = EncodedExample & Partial<Targets>;

export interface OutputReader {
  logits(...asked: Parameters<Predictor["logits"]>): Promise<Float32Array[]>;
  release(): Promise<void>;
}

export class Predictor implements OutputReader {
  #released = false;

  private constructor(
    private readonly budget: RunBudget,

    /** Width of a row: the head's outputs, values read from them, features, or outputs and features. */
    private readonly width: number,
    private readonly streams: readonly StreamInputs[],
    private readonly graph: CompiledGraph,
    private readonly readBy: ReadBy | undefined,
  ) {}

  static async compile(
    model: AdaptedModel,
    weights: Tensors,
    runtime: Runtime,
    options: PredictorOptions = {},
  ): Promise<Predictor> {
    const { outputs, streams } = writeInference(model, options);
    const width = outputs.logits.shape[1] as number;
    const budget = runBudget(model, options.tokenBudget ?? TOKEN_BUDGET);
    return new Predictor(budget, width, streams, await runtime.compile(outputs, weights), options.readBy);
  }

  /**
   * Computes the head's outputs for each example, `[rows, outputs]`, or the values read from them, `[rows, width]`, in the given order.
   * The rows of an example with several texts are those of each text in turn.
   */
  async logits(
    examples: readonly PredictedExample[],
    adapter?: Tensors,
    signal?: AbortSignal,
    onDone?: (examples: number, of: number) => void | Promise<void>,
  ): Promise<Float32Array[]> {
    if (this.#released) throw new UserError("the model was released; load it again to predict");
    const texts = singleTexts(examples);
    const results: Float32Array[] = new Array(texts.length);
    const sizes = texts.map(exampleSize);
    const cut = cutMicroBatches(sizes, this.budget);
    const costs = cut.map((chosen) => costOf(chosen.map((i) => sizes[i]!.tokens)));
    const whole = costs.reduce((sum, cost) => sum + cost, 0);
    let done = 0;
    for (const [at, chosen] of cut.entries()) {
      signal?.throwIfAborted();
      const part = chosen.map((i) => texts[i]!);
      const { inputs } = layOut(this.streams, part);
      const { logits } = await this.graph.run({ ...inputs, ...this.#targetsOf(part) }, adapter);
      const values = asFloat32(logits!).data;
      let start = 0;
      for (const i of chosen) {
        const end = start + (texts[i]!.rows?.length ?? 1) * this.width;
        results[i] = values.slice(start, end);
        start = end;
      }
      done += costs[at]!;
      await onDone?.(Math.round((examples.length * done) / whole), examples.length);
    }
    return joinTexts(examples, results);
  }

  #targetsOf(examples: readonly PredictedExample[]): Record<string, Tensor> {
    if (!this.readBy || !readerOf(this.readBy)) return {};
    return targetInputs(this.readBy.objective, this.budget.outputs, examples as readonly Pick<Targets, "targets">[]);
  }

  async release(): Promise<void> {
    if (this.#released) return;
    this.#released = true;
    await this.graph.release();
  }
}

export function joinTexts(examples: readonly EncodedExample[], ofTexts: Float32Array[]): Float32Array[] {
  if (examples.length === ofTexts.length) return ofTexts;
  let start = 0;
  return examples.map(({ texts = [] }) => {
    const own = ofTexts.slice(start, start + 1 + texts.length);
    start += own.length;
    const joined = new Float32Array(own.reduce((sum, { length }) => sum + length, 0));
    let end = 0;
    for (const values of own) {
      joined.set(values, end);
      end += values.length;
    }
    return joined;
  });
}
