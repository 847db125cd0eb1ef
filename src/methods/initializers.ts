import { uniformFloat64 } from "pure-rand/distribution/uniformFloat64";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";
import type { RandomGenerator } from "pure-rand/types/RandomGenerator";
import { float32, sizeOf, type Tensor } from "../graph/tensor.ts";

/** Makes a parameter's first values. */
export type Initializer = (shape: readonly number[], random: RandomGenerator) => Tensor<"float32">;

export const constant =
  (value: number): Initializer =>
  (shape) =>
    float32(shape, new Float32Array(sizeOf(shape)).fill(value));

/** Kaiming-uniform: bound `gain · sqrt(3 / columns)`. Gain √2 is AFLoRA's and VeRA's. */
export const kaimingUniform =
  (gain: number): Initializer =>
  (shape, random) => {
    const bound = gain * Math.sqrt(3 / shape.at(-1)!);
    return filled(shape, () => (2 * uniformFloat64(random) - 1) * bound);
  };

/** Within `1 / sqrt(columns)`, as LoRA's A starts: PyTorch's Kaiming-uniform with a = √5. */
export const downProjection = kaimingUniform(Math.sqrt(1 / 3));

/** N(0, deviation²) by Box and Muller. */
export const normal =
  (deviation: number): Initializer =>
  (shape, random) =>
    filled(shape, () => {
      const radius = Math.sqrt(-2 * Math.log(1 - uniformFloat64(random)));
      return deviation * radius * Math.cos(2 * Math.PI * uniformFloat64(random));
    });

function filled(shape: readonly number[], draw: () => number): Tensor<"float32"> {
  return float32(shape, new Float32Array(sizeOf(shape)).map(draw));
}

/** A parameter's own random stream: the same for the same seed and name, whatever else is initialised. */
export function randomFor(seed: number, name: string): RandomGenerator {
  let hash = 0x811c9dc5 ^ seed;
  for (let i = 0; i < name.length; i++) hash = Math.imul(hash ^ name.charCodeAt(i), 0x01000193);
  const random = xoroshiro128plus(hash);
  // Near seeds start with near numbers: the jump leads away from them.
  random.jump();
  return random;
}
