import { uniformInt } from "pure-rand/distribution/uniformInt";
import { xoroshiro128plus } from "pure-rand/generator/xoroshiro128plus";

/** Order of the `count` training examples in an epoch (from 0): a permutation that depends on nothing but its arguments. */
export function epochOrder(seed: number, epoch: number, count: number): Uint32Array {
  const random = xoroshiro128plus(seed);
  // One stream per epoch. The first jump is there because near seeds start with near numbers.
  for (let jumps = 0; jumps <= epoch; jumps++) random.jump();
  const order = Uint32Array.from({ length: count }, (_, i) => i);
  for (let i = count - 1; i > 0; i--) {
    const j = uniformInt(random, 0, i);
    [order[i], order[j]] = [order[j]!, order[i]!];
  }
  return order;
}
