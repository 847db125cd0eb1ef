import type { InferenceSession } from "onnxruntime-common";
import { UserError } from "../errors.ts";
import { Graph, liveLeaves, type Value } from "../graph/graph.ts";
import { onnxModel } from "../graph/onnx.ts";
import { modelBytes, type OnnxModel } from "../graph/onnx-model.ts";
import { add } from "../graph/ops.ts";
import { ELEMENT_SIZE, elementsOf, float32, type Tensors } from "../graph/tensor.ts";
import { saturatesByteProducts } from "./byte-products.ts";
import { CompiledGraph, reason, weightOf } from "./compiled-graph.ts";
import type { Device } from "./device.ts";
import { DEFAULT_DEVICE } from "./devices.ts";
import type { OnnxRuntime } from "./onnx-runtime.ts";
import { WholeModel } from "./whole-model.ts";

export interface RuntimeOptions {
  device: Device;
  /** Whether ONNX Runtime writes outputs into given arrays; otherwise outputs are copied into them. */
  writesInPlace?: boolean;
  /** Number of threads. ONNX Runtime's own default ignores the limits of containers. */
  threads: number;
  /**
   * Creates the session of an inference graph, whose constant weights are prepacked for the processor. If undefined,
   * inference graphs read the weights that all graphs share.
   */
  packs?: PackedSession;
  /** Opens a runtime on the CPU, if this build of ONNX Runtime lacks kernels for it (default: it has them). */
  openCpu?: () => Promise<Runtime>;
}

/** Creates a model's session by calling `create` with its bytes or the path of its file. */
export type PackedSession = (model: OnnxModel, create: CreateSession) => Promise<InferenceSession>;
type CreateSession = (model: Uint8Array | string) => Promise<InferenceSession>;

/** How to compile a graph. */
export interface CompileOptions {
  /** Prefix of the file for a profile of the session's runs, once profiling ends. */
  profile?: string | undefined;
  answers?: boolean | undefined;
  /** Trainable weights to embed as constants, by name, such as those of the only adapter (default: none). */
  constants?: ReadonlySet<string> | undefined;
  /** Whether 8-bit products use signed weights even if they saturate. */
  signedBytes?: boolean | undefined;
}

/** Compiles graphs for one device. */
export class Runtime {
  readonly device: Device;
  readonly threads: number;
  readonly #onnxRuntime: OnnxRuntime;
  readonly #writesInPlace: boolean;
  readonly #packs: PackedSession | undefined;
  readonly #openCpu: (() => Promise<Runtime>) | undefined;
  /** Whether signed 8-bit products saturate on this device; tested when a graph first needs it. */
  #saturatesBytes: Promise<boolean> | undefined;

  /**
   * Callers outside of the package use `nodeRuntime` or `webRuntime`.
   * @internal
   */
  constructor(onnxRuntime: OnnxRuntime, { device, threads, writesInPlace = false, packs, openCpu }: RuntimeOptions) {
    this.#onnxRuntime = onnxRuntime;
    this.#packs = packs;
    this.#openCpu = openCpu;
    this.#writesInPlace = writesInPlace;
    this.device = device;
    this.threads = threads;
  }

  /** Whether the weights of inference graphs are constants, prepacked for the processor. */
  get packs(): boolean {
    return this.#packs !== undefined;
  }

  /**
   * Compiles the computation of `outputs`. Weights are fed from `weights` at each run; frozen ones are embedded on a
   * device with {@link Device.embeds}.
   * @param answers whether the graph is for inference: if the runtime supports it, quantised weights are then prepacked
   * @param weights by name, shared by all graphs compiled over them; those that are fed may be changed in place
   * @throws UserError if the device is missing on this machine, or the weights exceed its limit.
   */
  async compile(
    outputs: Readonly<Record<string, Value>>,
    weights: Tensors,
    { profile, answers = false, constants = new Set(), signedBytes = false }: CompileOptions = {},
  ): Promise<CompiledGraph> {
    const start = performance.now();
    const { name, embeds, isEverywhere, plainOps } = this.device;
    const leaves = liveLeaves(Object.values(outputs));
    const weightsFor = (chosen: typeof leaves) => weightsOf(chosen, weights);
    const frozen = weightsFor(leaves.filter(({ leaf }) => leaf!.kind === "frozen"));
    const size = [...frozen.values()].reduce(
      (sum, { dtype, shape }) => sum + ELEMENT_SIZE[dtype] * elementsOf(shape),
      0,
    );
    const packed = answers ? this.#packs : undefined;
    const fixed = weightsFor(leaves.filter(({ leaf }) => constants.has(leaf!.name)));
    const embedded = new Map([...(embeds !== undefined || packed ? frozen : []), ...fixed]);
    if (embeds !== undefined && size > embeds) {
      const [most, has] = [embeds, size].map((bytes) => `${(bytes / 1e9).toFixed(1)} GB`);
      throw new UserError(
        `device "${name}" takes at most ${most} of weights, and the base model has ${has}; ${USE_DEFAULT}`,
      );
    }
    const unsignedBytes = !signedBytes && (await this.#needsUnsignedBytes(frozen));
    // ONNX Runtime compares values of unknown shape with all free buffers when it plans the memory of a session.
    const options = { embedded, plainOps, packs: packed !== undefined, unsignedBytes, shapes: true };
    const { model, inputs } = onnxModel(outputs, options);
    const create: CreateSession = (bytes) =>
      this.#onnxRuntime.InferenceSession.create(bytes as Uint8Array, this.#sessionOptions(embedded.size > 0, profile));
    let session: InferenceSession;
    try {
      session = await (packed ? packed(model, create) : create(modelBytes(model)));
    } catch (error) {
      // Errors of a weights file, which may be read only now, are not the device's.
      if (isEverywhere || error instanceof UserError) throw error;
      throw new UserError(`device "${name}" cannot be used on this machine: ${reason(error)}; ${USE_DEFAULT}`, {
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
   * Opens a whole ONNX model, which runs as it is.
   * @internal
   * @param model its bytes, or the path of its file
   * @param location of the file, for the error message
   * @throws UserError if ONNX Runtime cannot read it
   */
  async openWhole(model: Uint8Array | string, location: string): Promise<WholeModel> {
    try {
      const session = await this.#onnxRuntime.InferenceSession.create(model as Uint8Array, this.#sessionOptions(true));
      return new WholeModel(session, this.#onnxRuntime.Tensor);
    } catch (error) {
      throw new UserError(`${location} cannot be opened by ONNX Runtime: ${reason(error)}; export it again`, {
        cause: error,
      });
    }
  }

  /** Returns a runtime on the CPU, such as for graphs in float64, for which graphics cards have few kernels. */
  async onCpu(): Promise<Runtime> {
    if (this.device === DEFAULT_DEVICE) return this;
    if (this.#openCpu) return this.#openCpu();
    return new Runtime(this.#onnxRuntime, { device: DEFAULT_DEVICE, threads: this.threads });
  }

  /**
   * Compiles and runs a graph of one sum, to test whether the device works.
   * @throws UserError if it cannot be used on this machine.
   */
  async probe(): Promise<CompiledGraph> {
    const x = new Graph().leaf("input", "x", "float32", [1]);
    const compiled = await this.compile({ y: add(x, x) }, new Map());
    await compiled.run({ x: float32([1]) });
    return compiled;
  }

  /** Whether 8-bit weights among these must be multiplied as unsigned bytes. */
  async #needsUnsignedBytes(weights: Tensors): Promise<boolean> {
    if (![...weights.values()].some(({ dtype }) => dtype === "int8")) return false;
    this.#saturatesBytes ??= saturatesByteProducts((...graph) => this.compile(...graph, { signedBytes: true }));
    return this.#saturatesBytes;
  }

  /** @param hasWeights whether weights are among the model's constants */
  #sessionOptions(hasWeights: boolean, profile?: string): InferenceSession.SessionOptions {
    // GemmTransposeFusion would transpose the wide operands of products whose thin results are transposed instead.
    // Without weights, ConstantFolding finds only a few scalars, and then all optimizers run again.
    const off = ["GemmTransposeFusion", ...(hasWeights ? [] : ["ConstantFolding"])];
    return {
      // Ops without a GPU kernel run on the CPU anyway. If "cpu" were listed, it would replace a missing GPU in a page.
      executionProviders: [this.device.provider],
      intraOpNumThreads: this.threads,
      interOpNumThreads: 1,
      // Shapes change from one micro-batch to the next; memory patterns per shape would only use memory.
      enableMemPattern: false,
      logSeverityLevel: 3,
      extra: {
        // Otherwise a session's threads spin for about 30 ms after a run and slow down other work.
        session: { force_spinning_stop: "1" },
        optimization: { disable_specified_optimizers: off.join(";") },
      },
      ...(profile && { enableProfiling: true, profileFilePrefix: profile }),
    };
  }
}

const USE_DEFAULT = `use device "${DEFAULT_DEVICE.name}"`;

const weightsOf = (leaves: readonly Value[], weights: Tensors): Tensors =>
  new Map(leaves.map(({ leaf }) => [leaf!.name, weightOf(weights, leaf!.name)]));
