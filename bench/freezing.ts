/**
 * What AFLoRA's freezing costs beside the step itself, for LLaMA-7B's 56 million elements (rank 32 on query, key, value, up
 * and down of 32 blocks): taking in a step's gradients, and a check that selects the threshold among all of them.
 *
 *     npm run bench:freezing
 */

import { float32, type Tensor } from "../src/graph/tensor.ts";
import { FreezingController } from "../src/methods/freezing/controller.ts";

const [BLOCKS, RANK, HIDDEN, INNER] = [32, 32, 4096, 11008];
/** Columns of A and rows of B of each layer. */
const LAYERS = {
  q: [HIDDEN, HIDDEN],
  k: [HIDDEN, HIDDEN],
  v: [HIDDEN, HIDDEN],
  up: [HIDDEN, INNER],
  down: [INNER, HIDDEN],
};
const TOTAL_STEPS = 100;
const INTERVAL = 10;

const gradients = new Map<string, Tensor<"float32">>();
for (let block = 0; block < BLOCKS; block++) {
  for (const [layer, sides] of Object.entries(LAYERS)) {
    for (const [i, side] of sides.entries()) {
      const values = Float32Array.from({ length: RANK * side }, (_, j) => Math.sin(j * 12.9898 + block) * 1e-3);
      gradients.set(`${block}.${layer}.${"AB"[i]}`, float32([values.length], values));
    }
  }
}
const matrices = [...gradients].map(([name, { data }]) => ({ name, size: data.length }));
const elements = matrices.reduce((sum, { size }) => sum + size, 0);
const controller = new FreezingController({
  matrices,
  interval: INTERVAL,
  totalSteps: TOTAL_STEPS,
  initialSteps: 30,
  finalSteps: 30,
  curve: "quadratic",
  beta1: 0.85,
  beta2: 0.95,
  rule: "element-quantile",
  score: "gradient",
  windowed: true,
});

const seconds = { step: [] as number[], check: [] as number[] };
// Up to the first check that compares: nothing is frozen before.
for (let step = 0; step <= 40; step++) {
  const start = performance.now();
  controller.observe(step, gradients);
  const took = (performance.now() - start) / 1000;
  seconds[controller.lastCheck?.step === step ? "check" : "step"].push(took);
}
const median = (values: readonly number[]): number => values.toSorted((a, b) => a - b)[values.length >> 1]!;
console.log(
  `${(elements / 1e6).toFixed(1)} M elements: a step's gradients taken in ${median(seconds.step).toFixed(2)} s, ` +
    `with a check ${median(seconds.check).toFixed(2)} s`,
);
