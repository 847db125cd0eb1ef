import type { InferenceSession } from "onnxruntime-common";
import { UserError } from "../errors.ts";
import { Graph, liveLeaves, type Value } from "../graph/graph.ts";
import { onnxModel } from "../graph/onnx.ts";
import { modelBytes, type OnnxModel } from "../graph/onnx-model.ts";
import { add } from "../graph/ops.ts";
import { ELEMENT_SIZE, float32, sizeOf, type Tensors } from "../graph/tensor.ts";
import { cutsByteProducts } from "./byte-products.ts";
import { CompiledGraph, reason, weightOf } from "./compiled-graph.ts";
import type { Device } from "./device.ts";
import { DEFAULT_DEVICE } from "./devices.ts";
import type { OnnxRuntime } from "./onnx-runtime.ts";

export interface RuntimeOptions {
  device: Device;
  /** Whether runs write their outputs into arrays that they are given; otherwise outputs are copied there. */
  writesInPlace?: boolean;
  /** Threads of ONNX Runtime; its own default ignores the limits of containers. */
  threads: number;
  /**
   * Makes a session of a graph that only answers, whose constant weights are laid out for the processor; where absent such graphs read those
   * that all graphs share.
   */
  packs?: PackedSession;
}

/** Makes a session of a model, by `create`: of its bytes, or of the path of its file. */
export type PackedSession = (model: OnnxModel, create: CreateSession) => Promise<InferenceSession>;
type CreateSession = (model: Uint8Array | string) => Promise<InferenceSession>;

export interface CompileOptions {
  /** Where a profile of the session's runs goes, once it is asked for. */
  profile?: string | undefined;
  answers?: boolean | undefined;
  /** Names of trainable weights that are constants of the graph, such as those of an adapter that alone answers; none where absent. */
  constants?: ReadonlySet<string> | undefined;
  /** Bytes are multiplied as they are, also where sums of such products are cut off. */
  signedBytes?: boolean | undefined;
}

/** Compiles graphs for one device. */
export class Runtime {
  readonly device: Device;
  readonly threads: number;
  readonly #onnxRuntime: OnnxRuntime;
  readonly #writesInPlace: boolean;
  readonly #packs: PackedSession | undefined;
  /** Whether sums of products of signed bytes are cut off here, once a graph has some. */
  #cutsBytes: Promise<boolean> | undefined;

  constructor(onnxRuntime: OnnxRuntime, { device, threads, writesInPlace = false, packs }: RuntimeOptions) {
    this.#onnxRuntime = onnxRuntime;
    this.#packs = packs;
    this.#writesInPlace = writesInPlace;
    this.device = device;
    this.threads = threads;
  }

  /** Whether graphs that only answer have constant weights, laid out for the processor. */
  get packs(): boolean {
    return this.#packs !== undefined;
  }

  /**
   * Compiles what `outputs` need into a session that reads its weights from `weights`: fed at each run or, frozen ones on a
   * device that {@link Device.embeds}, there from then on.
   * @param answers whether the graph only answers: quantised weights are then laid out once for its products, where the runtime does
   * that
   * @param weights by name, one copy for every graph that is compiled over them; those that are fed may be changed in place
   * @throws UserError where the device is missing on this machine, or the weights are more than it can be given.
   */
  async compile(
    outputs: Readonly<Record<string, Value>>,
    weights: Tensors,
    { profile, answers = false, constants = new Set(), signedBytes = false }: CompileOptions = {},
  ): Promise<CompiledGraph> {
    const start = performance.now();
    const { name, embeds, isEverywhere, plainOps } = this.device;
    const leaves = liveLeaves(Object.values(outputs));
    const those = (chosen: typeof leaves) => weightsOf(chosen, weights);
    const frozen = those(leaves.filter(({ leaf }) => leaf!.kind === "frozen"));
    const size = [...frozen.values()].reduce((sum, { dtype, shape }) => sum + ELEMENT_SIZE[dtype] * sizeOf(shape), 0);
    const packed = answers ? this.#packs : undefined;
    const fixed = those(leaves.filter(({ leaf }) => constants.has(leaf!.name)));
    const embedded = new Map([...(embeds !== undefined || packed ? frozen : []), ...fixed]);
    if (embeds !== undefined && size > embeds) {
      const [most, has] = [embeds, size].map((bytes) => `${(bytes / 1e9).toFixed(1)} GB`);
      throw new UserError(
        `device "${name}" takes at most ${most} of weights, and the base model has ${has}; ${INSTEAD}`,
      );
    }
    const unsignedBytes = !signedBytes && (await this.#mustNotSign(frozen));
    const { model, inputs } = onnxModel(outputs, { embedded, plainOps, packs: packed !== undefined, unsignedBytes });
    const create: CreateSession = (bytes) =>
      this.#onnxRuntime.InferenceSession.create(bytes as Uint8Array, this.#sessionOptions(profile));
    let session: InferenceSession;
    try {
      session = await (packed ? packed(model, create) : create(modelBytes(model)));
    } catch (error) {
      // What is wrong with a file of weights, which may be read only now, is no fault of the device.
      if (isEverywhere || error instanceof UserError) throw error;
      throw new UserError(`device "${name}" cannot be used on this machine: ${reason(error)}; ${INSTEAD}`, {
        cause: error,
      });
    }
    return new CompiledGraph(session, this.#onnxRuntime.Tensor, {
      device: this.device,
      outputs,
      inputs,
      weights,
      writesInPlace: this.#writesInPlace,
      compileSeconds: (performance.now() - start) / 1000,
    });
  }

  /**
   * Compiles and runs a graph of one sum, to find out whether the device works.
   * @throws UserError where it cannot be used on this machine.
   */
  async probe(): Promise<CompiledGraph> {
    const x = new Graph().leaf("input", "x", "float32", [1]);
    const compiled = await this.compile({ y: add(x, x) }, new Map());
    await compiled.run({ x: float32([1]) });
    return compiled;
  }

  /** Whether bytes among such weights must be multiplied as unsigned ones. */
  async #mustNotSign(weights: Tensors): Promise<boolean> {
    if (![...weights.values()].some(({ dtype }) => dtype === "int8")) return false;
    this.#cutsBytes ??= cutsByteProducts((...graph) => this.compile(...graph, { signedBytes: true }));
    return this.#cutsBytes;
  }

  #sessionOptions(profile: string | undefined): InferenceSession.SessionOptions {
    return {
      // What a GPU has no kernel for goes to the CPU all the same; named beside it, "cpu" would take a missing GPU's place in a page.
      executionProviders: [this.device.provider],
      intraOpNumThreads: this.threads,
      interOpNumThreads: 1,
      // Shapes change from one micro-batch to the next: patterns remembered per shape would only hold memory.
      enableMemPattern: false,
      logSeverityLevel: 3,
      extra: {
        // Threads of a session would spin for some 30 ms after a run, and slow down whatever runs then.
        session: { force_spinning_stop: "1" },
        // It would turn the wide operands of products whose thin results are turned instead.
        optimization: { disable_specified_optimizers: "GemmTransposeFusion" },
      },
      ...(profile && { enableProfiling: true, profileFilePrefix: profile }),
    };
  }
}

const INSTEAD = `use device "${DEFAULT_DEVICE.name}"`;

const weightsOf = (leaves: readonly Value[], weights: Tensors): Tensors =>
  new Map(leaves.map(({ leaf }) => [leaf!.name, weightOf(weights, leaf!.name)]));
