import { traceModel } from "../architectures/trace.ts";
import { UserError } from "../errors.ts";
import { asFloat32, copyOf, elementsOf, type Tensors } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import type { ParameterGroup } from "./optimizer/adamw.ts";
import type { AdaptedModel } from "./step-graph.ts";
import type { StepRecord } from "./training-records.ts";
import type { TrainingState } from "./training-state.ts";

type SavedValues = Pick<TrainingState, "parameters" | "start">;

export class TrainedParameters {
  /** Names of all parameters that train at any time: those of the method, the trained part of the head, and the backbone if it trains. */
  readonly names: readonly string[];
  readonly tensors: Tensors<"float32">;
  readonly #head: ReadonlySet<string>;
  readonly #trainedHead: readonly string[];
  readonly #trainedBackbone: readonly string[];
  /** Values before the first step, if {@link moveBack} will be called. */
  readonly start: Tensors<"float32"> | undefined;

  constructor(
    private readonly model: AdaptedModel,
    private readonly schedule: Schedule,
    weights: Tensors,
    { saved, movesBack = false }: { saved?: SavedValues | undefined; movesBack?: boolean } = {},
  ) {
    const weightsOfModel = traceModel(model, model.labelCount, model.head).weights.values();
    const specs = [...weightsOfModel].filter(({ buffer }) => !buffer);
    const namesOf = (part: "head" | "backbone") => specs.filter((s) => s.part === part).map(({ name }) => name);
    this.#head = new Set(namesOf("head"));
    this.#trainedHead = namesOf("head").filter((name) => model.trainsHead(name));
    this.#trainedBackbone = model.adaptation.trainsBackbone ? namesOf("backbone") : [];
    const ofMethod = model.adaptation.parameters.map(({ name }) => name);
    this.names = [...ofMethod, ...this.#trainedHead, ...this.#trainedBackbone];
    this.tensors = new Map(this.names.map((name) => [name, asFloat32(weights.get(name)!)]));
    // A run that resumes has not computed its start again.
    if (saved?.start) this.#restore(saved.start);
    if (movesBack) this.start = this.copy();
    if (saved) this.#restore(saved.parameters);
  }

  /** AdamW's groups: the head has its own learning rate; biases, normalizations and parameters that the method exempts do not decay. */
  groups(rates: { learningRate: number; headLearningRate: number; weightDecay: number }): ParameterGroup[] {
    const { learningRate, headLearningRate, weightDecay } = rates;
    const decays = (name: string) => !/(bias|norm\w*\.weight)$/i.test(name);
    return [true, false].flatMap((decay) => {
      const group = (names: string[], rate: number): ParameterGroup => ({
        names,
        learningRate: rate,
        weightDecay: decay ? weightDecay : 0,
      });
      const ofMethod = this.model.adaptation.parameters.filter((parameter) => parameter.decays === decay);
      const backbone = this.#trainedBackbone.filter((name) => decays(name) === decay);
      const head = this.#trainedHead.filter((name) => decays(name) === decay);
      return [
        ...ofMethod.map(({ name, rateFactor = 1 }) => group([name], learningRate * rateFactor)),
        group(backbone, learningRate),
        group(head, headLearningRate),
      ];
    });
  }

  count(gradients?: Tensors<"float32">): number {
    if (this.schedule.countTrainable) return this.schedule.countTrainable(this.tensors);
    const names = gradients?.keys() ?? this.#namesNow();
    return this.#sizeOf([...names].filter((name) => !this.#head.has(name)));
  }

  countNow(gradients: Tensors<"float32">): Pick<StepRecord, "trainable" | "frozenBlocks"> {
    const frozenBlocks = this.schedule.frozenBlocks?.().count;
    return { trainable: this.count(gradients), ...(frozenBlocks !== undefined && { frozenBlocks }) };
  }

  #namesNow(): Iterable<string> {
    if (!this.model.adaptation.trainsBackbone) return this.schedule.trainable();
    const frozenBlocks = this.schedule.frozenBlocks?.().parameters;
    return this.names.filter((name) => !frozenBlocks?.has(name));
  }

  get headCount(): number {
    return this.#sizeOf(this.#trainedHead);
  }

  copy(): Tensors<"float32"> {
    return new Map([...this.tensors].map(([name, tensor]) => [name, copyOf(tensor)]));
  }

  /**
   * Moves parameters part of the way back to their start: weights in between often predict better on other texts than either end
   * (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).
   */
  moveBack(share: number): () => void {
    const trained = this.copy();
    for (const [name, { data }] of this.tensors) {
      const start = this.start!.get(name)!.data;
      for (const [i, value] of data.entries()) data[i] = start[i]! + share * (value - start[i]!);
    }
    return () => this.#restore(trained);
  }

  #restore(copy: Tensors<"float32">): void {
    for (const name of this.names) {
      const [own, saved] = [this.tensors.get(name)!, copy.get(name)];
      if (saved?.data.length !== own.data.length || copy.size !== this.names.length) {
        throw new UserError(`the checkpoint is of another model or method: its ${name} does not fit; start a new run`);
      }
      own.data.set(saved.data);
    }
  }

  #sizeOf(names: readonly string[]): number {
    return names.reduce((sum, name) => sum + elementsOf(this.tensors.get(name)!.shape), 0);
  }
}
