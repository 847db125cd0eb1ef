import type { InferenceSession, Tensor as OnnxTensor, TensorConstructor } from "onnxruntime-common";
import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { type DataType, elementsOf, type Tensor, type TensorData, type Tensors } from "../graph/tensor.ts";
import type { Device } from "./device.ts";

/** A tensor in ONNX Runtime's memory: the output of one run, as an input of another. */
export class KeptTensor {
  /** @internal */
  constructor(
    /** @internal */
    readonly value: OnnxTensor,
  ) {}

  get shape(): readonly number[] {
    return this.value.dims;
  }

  /** Returns its elements. */
  read(): Tensor {
    // ONNX Runtime and aflora name types alike.
    const { type, dims, data } = this.value;
    return { dtype: type as DataType, shape: dims, data: data as TensorData };
  }

  /** Frees its memory. */
  release(): void {
    this.value.dispose();
  }
}

/** A compiled graph. Runs compute on the calling thread. */
export class CompiledGraph {
  /** Seconds spent on encoding the graph and building the session. */
  readonly compileSeconds: number;
  readonly #device: Device;
  readonly #writesInPlace: boolean;
  readonly #outputs: Readonly<Record<string, Value>>;
  readonly #inputs: readonly Value[];
  readonly #weights: readonly Value[];
  readonly #fedWeights: ReadonlyMap<string, OnnxTensor>;
  /** ONNX Runtime's views of tensors that are passed repeatedly, such as an adapter's. */
  readonly #onnxTensors = new WeakMap<Tensor, OnnxTensor>();

  constructor(
    private readonly session: InferenceSession,
    private readonly Tensor: TensorConstructor,
    {
      device,
      outputs,
      inputs,
      weights,
      writesInPlace,
      compileSeconds,
    }: {
      device: Device;
      outputs: Readonly<Record<string, Value>>;
      inputs: readonly Value[];
      weights: Tensors;
      writesInPlace: boolean;
      compileSeconds: number;
    },
  ) {
    this.#device = device;
    this.#writesInPlace = writesInPlace;
    this.#outputs = outputs;
    this.#inputs = inputs.filter(({ leaf }) => leaf!.kind === "input");
    this.#weights = inputs.filter(({ leaf }) => leaf!.kind !== "input");
    this.#fedWeights = new Map(
      this.#weights.map((value) => [value.leaf!.name, makeTensor(Tensor, value, weightOf(weights, value.leaf!.name))]),
    );
    this.compileSeconds = compileSeconds;
  }

  /** Names of the inputs that a run needs. */
  get inputNames(): string[] {
    return this.#inputs.map(({ leaf }) => leaf!.name);
  }

  /**
   * Runs the graph. Inputs that it does not read are ignored.
   * @param overrides tensors for this run only that replace trainable weights of these names
   * @param into tensors into which outputs of these names are written. One may also be an input, if the op that reads
   * it writes the output element by element, or runs before the output is written.
   * @returns the outputs by name
   * @throws Error if an input is missing, of another type, or has a size that its shape does not allow.
   * @throws UserError if the GPU was lost.
   */
  async run(
    inputs: Readonly<Record<string, Tensor | KeptTensor>>,
    overrides?: Tensors,
    into?: Tensors,
  ): Promise<Record<string, Tensor>> {
    const results = await this.#run(inputs, overrides, this.#writesInPlace ? into : undefined);
    return Object.fromEntries(
      Object.entries(results).map(([name, output]) => {
        const given = into?.get(name);
        if (given && !this.#writesInPlace) (given.data as Float32Array).set(output.read().data as Float32Array);
        return [name, given ?? output.read()];
      }),
    );
  }

  /** Like {@link run}, but outputs stay in ONNX Runtime's memory as inputs of another run, such as a key-value cache. */
  runAndKeep(
    inputs: Readonly<Record<string, Tensor | KeptTensor>>,
    overrides?: Tensors,
  ): Promise<Record<string, KeptTensor>> {
    return this.#run(inputs, overrides);
  }

  async #run(
    inputs: Readonly<Record<string, Tensor | KeptTensor>>,
    overrides?: Tensors,
    into?: Tensors,
  ): Promise<Record<string, KeptTensor>> {
    const feeds: Record<string, OnnxTensor> = Object.fromEntries(this.#fedWeights);
    for (const value of overrides ? this.#weights : []) {
      const own = overrides!.get(value.leaf!.name);
      if (own) feeds[value.leaf!.name] = this.#tensorFor(value, own);
    }
    for (const value of this.#inputs) {
      const { name } = value.leaf!;
      const input = inputs[name];
      if (!input) throw new Error(`input "${name}" is missing`);
      feeds[name] = input instanceof KeptTensor ? input.value : this.#tensorFor(value, input);
    }
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.session.run(feeds, into ? this.#fetches(into) : Object.keys(this.#outputs));
    } catch (error) {
      if (!this.#device.lost?.test(reason(error))) throw error;
      throw new UserError(
        `device "${this.#device.name}" was lost during the computation: unplugged, reset by its driver, or suspended; resume the run from its last checkpoint`,
        { cause: error },
      );
    }
    return Object.fromEntries(Object.entries(results).map(([name, result]) => [name, new KeptTensor(result)]));
  }

  /** Returns all outputs, with the tensor into which to write each, if there is one. */
  #fetches(into: Tensors): Record<string, OnnxTensor | null> {
    return Object.fromEntries(
      Object.entries(this.#outputs).map(([name, value]) => {
        const tensor = into.get(name);
        return [name, tensor ? this.#tensorFor(value, tensor) : null];
      }),
    );
  }

  #tensorFor(value: Value, tensor: Tensor): OnnxTensor {
    const known = this.#onnxTensors.get(tensor) ?? makeTensor(this.Tensor, value, tensor);
    this.#onnxTensors.set(tensor, known);
    return known;
  }

  /** Frees the session. The process must not exit earlier. */
  async release(): Promise<void> {
    await this.session.release();
  }

  /** Ends profiling and writes the profile requested at compilation. */
  endProfiling(): void {
    this.session.endProfiling();
  }
}

function makeTensor(Tensor: TensorConstructor, value: Value, { dtype, shape, data }: Tensor): OnnxTensor {
  const expected =
    value.dtype === dtype &&
    value.shape.length === shape.length &&
    value.shape.every((d, i) => typeof d === "string" || d === shape[i]);
  if (!expected || data.length !== elementsOf(shape)) {
    throw new Error(
      `"${value.label}" must be ${value.dtype} [${value.shape.join(", ")}], not ${data.length} numbers of ${dtype} as [${shape.join(", ")}]`,
    );
  }
  // Each overload of the binding takes one type; the names are the same.
  return new Tensor(value.dtype as "float32", data as Float32Array, shape);
}

export function weightOf(weights: Tensors, name: string): Tensor {
  const weight = weights.get(name);
  if (!weight) throw new Error(`the graph reads a weight "${name}" that was not given`);
  return weight;
}

/** Returns the message of an ONNX Runtime error without its position in ONNX Runtime's source. */
export function reason(error: unknown): string {
  const [line] = String(error instanceof Error ? error.message : error).split("\n");
  return line!.replace(/^.*(was false\. |\[ONNXRuntimeError\] : \d+ : \w+ : )/, "");
}
