import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { elementsOf, float32, type Tensor } from "../graph/tensor.ts";

/** Makes a parameter's initial values. */
export type Initializer = (shape: readonly number[], random: RandomGenerator) => Tensor<"float32">;

/** Equal initial values. */
export const constant =
  (value: number): Initializer =>
  (shape) =>
    float32(shape, new Float32Array(elementsOf(shape)).fill(value));

/** Kaiming-uniform values, with bound `gain · sqrt(3 / columns)`. AFLoRA and VeRA have gain √2. */
export const kaimingUniform =
  (gain: number): Initializer =>
  (shape, random) => {
    const bound = gain * Math.sqrt(3 / shape.at(-1)!);
    return filled(shape, () => (2 * uniformFloat64(random) - 1) * bound);
  };

/** Initial values of LoRA's A, within `1 / sqrt(columns)`: PyTorch's Kaiming-uniform with a = √5. */
export const downProjection = kaimingUniform(Math.sqrt(1 / 3));

/** Values from N(0, deviation²), by the Box-Muller transform. */
export const normal =
  (deviation: number): Initializer =>
  (shape, random) =>
    filled(shape, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(random)));
      return deviation * radius * Math.cos(2 * Math.PI * uniformFloat64(random));
    });

function filled(shape: readonly number[], draw: () => number): Tensor<"float32"> {
  return float32(shape, new Float32Array(elementsOf(shape)).map(draw));
}

/** Random stream of a parameter. It depends only on the seed and the name, not on other parameters. */
export function randomFor(seed: number, name: string): RandomGenerator {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  const random = xoroshiro128plus(hash);
  // Close seeds start with close numbers: the jump separates them.
  random.jump();
  return random;
}
