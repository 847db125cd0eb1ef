import { asFloat32, type Tensor, type TensorData, type Tensors } from "../../graph/tensor.ts";
import { adaptedShapes } from "../../model/fitted-adapter.ts";
import { traceModel } from "../../models/trace.ts";
import type { AdaptedModel } from "../../training/step-graph.ts";
import { messageBytes } from "./message.ts";

/** Everything that the checkpoint does not say: the method's parameters, the head, and the backbone where it trains. */
export function ownShapes(model: AdaptedModel): Map<string, readonly number[]> {
  return adaptedShapes({ trace: traceModel(model, model.labelCount, model.head) }, model.adaptation);
}

/** Shapes of those that train. */
export function trainedShapes(model: AdaptedModel): (readonly number[])[] {
  const { parameters, trainable, trainsBackbone } = model.adaptation;
  const ofMethod = new Set(parameters.map(({ name }) => name));
  const trains = (name: string): boolean =>
    ofMethod.has(name) ? trainable.has(name) : trainsBackbone === true || model.trainsHead(name);
  return [...ownShapes(model)].filter(([name]) => trains(name)).map(([, shape]) => shape);
}

/** What trains, of a compiled step, and what has changed since. */
export class RunState {
  readonly number: number;
  readonly #model: AdaptedModel;
  readonly #values: Tensors<"float32">;
  /** As other machines have them. */
  readonly #sent: Map<string, Float32Array>;
  /** Names of those that are others now; once they are, they are sent at each step. */
  readonly #changed = new Set<string>();

  /** @param weights changed in place by training */
  constructor(number: number, model: AdaptedModel, weights: Tensors) {
    this.number = number;
    this.#model = model;
    const own = [...ownShapes(model).keys()].filter((name) => weights.has(name));
    this.#values = new Map(own.map((name) => [name, asFloat32(weights.get(name)!)]));
    this.#sent = new Map([...this.#values].map(([name, { data }]) => [name, data.slice()]));
  }

  /** The state as it was at first. */
  bytes(): Buffer {
    const { trainable, frozenBlocks, trainsHead } = this.#model;
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

  /** What has changed since, as it is now. */
  valuesAt(step: number): Buffer {
    for (const [name, { data }] of this.#values) {
      if (this.#changed.has(name)) continue;
      if (!isSame(data, this.#sent.get(name)!)) this.#changed.add(name);
    }
    const changed = [...this.#values].filter(([name]) => this.#changed.has(name));
    return messageBytes({ state: this.number, step }, new Map(changed));
  }
}

/** Whether numbers are the same to the bit. */
export function isSame(a: TensorData, b: TensorData): boolean {
  const [first, second] = [a, b].map(({ buffer, byteOffset, byteLength }) =>
    Buffer.from(buffer, byteOffset, byteLength),
  );
  return first!.equals(second!);
}
