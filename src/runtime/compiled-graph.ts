import type { InferenceSession, Tensor as OnnxTensor, TensorConstructor } from "onnxruntime-common";
import { UserError } from "../errors.ts";
import type { Value } from "../graph/graph.ts";
import { type DataType, sizeOf, type Tensor, type TensorData, type Tensors } from "../graph/tensor.ts";
import type { Device } from "./device.ts";

/** A tensor that ONNX Runtime holds, where it is: the output of one run, to be an input of another. */
export class KeptTensor {
  /** @internal */
  readonly value: OnnxTensor;

  /** @internal */
  constructor(value: OnnxTensor) {
    this.value = value;
  }

  get shape(): readonly number[] {
    return this.value.dims;
  }

  /** Its elements. */
  read(): Tensor {
    // ONNX Runtime's names of types are ours.
    const { type, dims, data } = this.value;
    return { dtype: type as DataType, shape: dims, data: data as TensorData };
  }

  /** Frees it. */
  release(): void {
    this.value.dispose();
  }
}

/** A graph ready to run. Runs compute on the calling thread. */
export class CompiledGraph {
  /** Seconds that encoding and building the session took. */
  readonly compileSeconds: number;
  readonly #session: InferenceSession;
  readonly #Tensor: TensorConstructor;
  readonly #device: Device;
  readonly #writesInPlace: boolean;
  readonly #outputs: Readonly<Record<string, Value>>;
  readonly #inputs: readonly Value[];
  readonly #weights: readonly Value[];
  readonly #fedWeights: ReadonlyMap<string, OnnxTensor>;
  /** Tensors that are given again and again, such as an adapter's, as ONNX Runtime has them. */
  readonly #made = new WeakMap<Tensor, OnnxTensor>();

  constructor(
    session: InferenceSession,
    Tensor: TensorConstructor,
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
    this.#session = session;
    this.#Tensor = Tensor;
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

  /** Names of the inputs that a run must be given. */
  get inputNames(): string[] {
    return this.#inputs.map(({ leaf }) => leaf!.name);
  }

  /**
   * Runs the graph. Inputs that this graph does not read are ignored.
   * @param instead tensors to use in this run alone, in place of weights of these names: trainable ones, which are never
   * embedded
   * @param into tensors to write outputs of these names into. One may be an input too, where what reads it writes the
   * output element by element, or before it.
   * @returns the outputs by name
   * @throws Error where an input is missing, of another type, or has a size that its shape does not allow.
   * @throws UserError where the GPU went away.
   */
  async run(
    inputs: Readonly<Record<string, Tensor | KeptTensor>>,
    instead?: Tensors,
    into?: Tensors,
  ): Promise<Record<string, Tensor>> {
    const results = await this.#run(inputs, instead, this.#writesInPlace ? into : undefined);
    return Object.fromEntries(
      Object.entries(results).map(([name, output]) => {
        const given = into?.get(name);
        if (given && !this.#writesInPlace) (given.data as Float32Array).set(output.read().data as Float32Array);
        return [name, given ?? output.read()];
      }),
    );
  }

  /** As {@link run}, with outputs that stay with ONNX Runtime and can be fed to another run, such as a key-value cache. */
  runAndKeep(
    inputs: Readonly<Record<string, Tensor | KeptTensor>>,
    instead?: Tensors,
  ): Promise<Record<string, KeptTensor>> {
    return this.#run(inputs, instead);
  }

  async #run(
    inputs: Readonly<Record<string, Tensor | KeptTensor>>,
    instead?: Tensors,
    into?: Tensors,
  ): Promise<Record<string, KeptTensor>> {
    const feeds: Record<string, OnnxTensor> = Object.fromEntries(this.#fedWeights);
    for (const value of instead ? this.#weights : []) {
      const own = instead!.get(value.leaf!.name);
      if (own) feeds[value.leaf!.name] = this.#once(value, own);
    }
    for (const value of this.#inputs) {
      const { name } = value.leaf!;
      const input = inputs[name];
      if (!input) throw new Error(`input "${name}" is missing`);
      feeds[name] = input instanceof KeptTensor ? input.value : this.#once(value, input);
    }
    let results: InferenceSession.OnnxValueMapType;
    try {
      results = await this.#session.run(feeds, into ? this.#fetches(into) : Object.keys(this.#outputs));
    } catch (error) {
      if (!this.#device.lost?.test(reason(error))) throw error;
      throw new UserError(
        `device "${this.#device.name}" was lost during the computation: unplugged, reset by its driver, or suspended; resume the run from its last checkpoint`,
        { cause: error },
      );
    }
    return Object.fromEntries(Object.entries(results).map(([name, result]) => [name, new KeptTensor(result)]));
  }

  /** All outputs, with the tensor to write one into where there is one. */
  #fetches(into: Tensors): Record<string, OnnxTensor | null> {
    return Object.fromEntries(
      Object.entries(this.#outputs).map(([name, value]) => {
        const tensor = into.get(name);
        return [name, tensor ? this.#once(value, tensor) : null];
      }),
    );
  }

  #once(value: Value, tensor: Tensor): OnnxTensor {
    const known = this.#made.get(tensor) ?? makeTensor(this.#Tensor, value, tensor);
    this.#made.set(tensor, known);
    return known;
  }

  /** Frees the session; a process must not exit before. */
  async release(): Promise<void> {
    await this.#session.release();
  }

  /** Ends profiling and writes the profile that was asked for when compiling. */
  endProfiling(): void {
    this.#session.endProfiling();
  }
}

function makeTensor(Tensor: TensorConstructor, value: Value, { dtype, shape, data }: Tensor): OnnxTensor {
  const expected =
    value.dtype === dtype &&
    value.shape.length === shape.length &&
    value.shape.every((d, i) => typeof d === "string" || d === shape[i]);
  if (!expected || data.length !== sizeOf(shape)) {
    throw new Error(
      `"${value.label}" must be ${value.dtype} [${value.shape.join(", ")}], not ${data.length} numbers of ${dtype} as [${shape.join(", ")}]`,
    );
  }
  // The binding's overloads know one type each; the names are the same.
  return new Tensor(value.dtype as "float32", data as Float32Array, shape);
}

export function weightOf(weights: Tensors, name: string): Tensor {
  const weight = weights.get(name);
  if (!weight) throw new Error(`the graph reads a weight "${name}" that was not given`);
  return weight;
}

/** What ONNX Runtime says went wrong, without the place in its source where it noticed. */
export function reason(error: unknown): string {
  const [line] = String(error instanceof Error ? error.message : error).split("\n");
  return line!.replace(/^.*(was false\. |\[ONNXRuntimeError\] : \d+ : \w+ : )/, "");
}
