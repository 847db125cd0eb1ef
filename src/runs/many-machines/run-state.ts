import { traceModel } from "../../architectures/trace.ts";
import { adaptedShapes } from "../../base-models/fitted-adapter.ts";
import { asFloat32, type Tensor, type TensorData, type Tensors } from "../../graph/tensor.ts";
import type { AdaptedModel } from "../../training/step-graph.ts";
import { messageBytes } from "./message.ts";

/** Shapes of everything beyond the checkpoint: the method's parameters, the head, and the backbone if it trains. */
export function ownShapes(model: AdaptedModel): Map<string, readonly number[]> {
  return adaptedShapes({ trace: traceModel(model, model.labelCount, model.head) }, model.adaptation);
}

export function trainedShapes(model: AdaptedModel): (readonly number[])[] {
  const { parameters, trainable, trainsBackbone } = model.adaptation;
  const ofMethod = new Set(parameters.map(({ name }) => name));
  const trains = (name: string): boolean =>
    ofMethod.has(name) ? trainable.has(name) : trainsBackbone === true || model.trainsHead(name);
  return [...ownShapes(model)].filter(([name]) => trains(name)).map(([, shape]) => shape);
}

/** Trainable parameters of a compiled step, and their changes since. */
export class RunState {
  readonly #values: Tensors<"float32">;
  /** Values on the other machines. */
  readonly #sent: Map<string, Float32Array>;
  /** Names of the parameters that have changed. They are sent at each step from then on. */
  readonly #changed = new Set<string>();

  /** @param weights changed in place by training */
  constructor(
    readonly number: number,
    private readonly model: AdaptedModel,
    weights: Tensors,
  ) {
    const own = [...ownShapes(model).keys()].filter((name) => weights.has(name));
    this.#values = new Map(own.map((name) => [name, asFloat32(weights.get(name)!)]));
    this.#sent = new Map([...this.#values].map(([name, { data }]) => [name, data.slice()]));
  }

  /** The state with its initial values, as a message. */
  bytes(): Buffer {
    const { trainable, frozenBlocks, trainsHead } = this.model;
    const facts = {
      trainable: trainable && [...trainable],
      trainedHead: [...this.#values.keys()].filter((name) => trainsHead(name)),
      frozenBlocks: frozenBlocks && { count: frozenBlocks.count, parameters: [...frozenBlocks.parameters] },
    };
    const first = [...this.#values].map(
      ([name, tensor]) => [name, { ...tensor, data: this.#sent.get(name)! } as Tensor<"float32">] as const,
    );
    return messageBytes(facts, new Map(first));
  }

  /** The current values of all parameters that have changed, as a message. */
  valuesAt(step: number): Buffer {
    for (const [name, { data }] of this.#values) {
      if (this.#changed.has(name)) continue;
      if (!isSame(data, this.#sent.get(name)!)) this.#changed.add(name);
    }
    const changed = [...this.#values].filter(([name]) => this.#changed.has(name));
    return messageBytes({ state: this.number, step }, new Map(changed));
  }
}

/** Whether numbers are equal to the bit. */
export function isSame(a: TensorData, b: TensorData): boolean {
  const [first, second] = [a, b].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return first!.equals(second!);
}
