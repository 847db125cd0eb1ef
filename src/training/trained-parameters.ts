import { UserError } from "../errors.ts";
import { asFloat32, copyOf, sizeOf, type Tensors } from "../graph/tensor.ts";
import type { Schedule } from "../methods/method.ts";
import { traceModel } from "../models/trace.ts";
import type { ParameterGroup } from "./optimizer/adamw.ts";
import type { StepRecord } from "./records.ts";
import type { AdaptedModel } from "./step-graph.ts";

/** Which parameters a run trains, and how many of them count. */
export class TrainedParameters {
  /** Names of everything that trains at any time: the method's, of the head what trains, the backbone where it does. */
  readonly names: readonly string[];
  /** The tensors of these names, which training changes in place. */
  readonly tensors: Tensors<"float32">;
  readonly #model: AdaptedModel;
  readonly #schedule: Schedule;
  readonly #head: ReadonlySet<string>;
  readonly #trainedHead: readonly string[];
  readonly #trainedBackbone: readonly string[];
  readonly #start: Tensors<"float32"> | undefined;

  /**
   * @param weights as they are at the run's start
   * @param saved values to go on from
   * @param movesBack whether they will be moved back to where they start
   * @throws UserError where saved values are of other parameters than these
   */
  constructor(
    model: AdaptedModel,
    schedule: Schedule,
    weights: Tensors,
    { saved, movesBack = false }: { saved?: Tensors<"float32"> | undefined; movesBack?: boolean } = {},
  ) {
    const weightsOfModel = traceModel(model, model.labelCount, model.head).weights.values();
    const specs = [...weightsOfModel].filter(({ buffer }) => !buffer);
    const namesOf = (part: "head" | "backbone") => specs.filter((s) => s.part === part).map(({ name }) => name);
    this.#model = model;
    this.#schedule = schedule;
    this.#head = new Set(namesOf("head"));
    this.#trainedHead = namesOf("head").filter((name) => model.trainsHead(name));
    this.#trainedBackbone = model.adaptation.trainsBackbone ? namesOf("backbone") : [];
    const ofMethod = model.adaptation.parameters.map(({ name }) => name);
    this.names = [...ofMethod, ...this.#trainedHead, ...this.#trainedBackbone];
    this.tensors = new Map(this.names.map((name) => [name, asFloat32(weights.get(name)!)]));
    if (movesBack) this.#start = this.copy();
    if (saved) this.#restore(saved);
  }

  /** AdamW's groups: the head has a rate of its own; biases, normalisations and what the method exempts do not decay. */
  groups(rates: { learningRate: number; headLearningRate: number; weightDecay: number }): ParameterGroup[] {
    const { learningRate, headLearningRate, weightDecay } = rates;
    const decays = (name: string) => !/(bias|norm\w*\.weight)$/i.test(name);
    return [true, false].flatMap((decay) => {
      const group = (names: string[], rate: number): ParameterGroup => ({
        names,
        learningRate: rate,
        weightDecay: decay ? weightDecay : 0,
      });
      const ofMethod = this.#model.adaptation.parameters.filter((parameter) => parameter.decays === decay);
      const backbone = this.#trainedBackbone.filter((name) => decays(name) === decay);
      const head = this.#trainedHead.filter((name) => decays(name) === decay);
      return [
        ...ofMethod.map(({ name, rateFactor = 1 }) => group([name], learningRate * rateFactor)),
        group(backbone, learningRate),
        group(head, headLearningRate),
      ];
    });
  }

  /** Parameters that train now, the head not counted. @param gradients of the latest step, where one was taken */
  count(gradients?: Tensors<"float32">): number {
    if (this.#schedule.countTrainable) return this.#schedule.countTrainable(this.tensors);
    const names = gradients?.keys() ?? this.#namesNow();
    return this.#sizeOf([...names].filter((name) => !this.#head.has(name)));
  }

  /** What trains in a step, and the blocks that are frozen in it. @param gradients that it gave */
  countNow(gradients: Tensors<"float32">): Pick<StepRecord, "trainable" | "frozenBlocks"> {
    const frozenBlocks = this.#schedule.frozenBlocks?.().count;
    return { trainable: this.count(gradients), ...(frozenBlocks !== undefined && { frozenBlocks }) };
  }

  #namesNow(): Iterable<string> {
    if (!this.#model.adaptation.trainsBackbone) return this.#schedule.trainable();
    const frozenBlocks = this.#schedule.frozenBlocks?.().parameters;
    return this.names.filter((name) => !frozenBlocks?.has(name));
  }

  /** Parameters of the head that train. */
  get headCount(): number {
    return this.#sizeOf(this.#trainedHead);
  }

  /** A copy of all of them. */
  copy(): Tensors<"float32"> {
    return new Map([...this.tensors].map(([name, tensor]) => [name, copyOf(tensor)]));
  }

  /**
   * Moves them part of the way back to where they started: weights in between often predict better on other texts than either end
   * (WiSE-FT, Wortsman et al. 2022, arXiv 2109.01903).
   * @param share of the way from the start that is left
   * @returns puts them where they were
   */
  moveBack(share: number): () => void {
    const trained = this.copy();
    for (const [name, { data }] of this.tensors) {
      const start = this.#start!.get(name)!.data;
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
    return names.reduce((sum, name) => sum + sizeOf(this.tensors.get(name)!.shape), 0);
  }
}
