/**
 * Bytes of the weights that a step of each size is fed, by how the base is stored; told by shapes alone.
 *
 *     npm run bench:weights
 */

import { BASE_FORMATS, type BaseFormat, storedLeaves } from "../src/architectures/base-format.ts";
import type { WeightSpec } from "../src/architectures/model-parts.ts";
import { Graph } from "../src/graph/graph.ts";
import { elementsOf, type Tensor } from "../src/graph/tensor.ts";
import { CONFIG_NAMES, shapeOfModel } from "./random-model.ts";

const bytesOf = ({ dtype, shape }: Pick<Tensor, "dtype" | "shape">): number =>
  elementsOf(shape) * (dtype.endsWith("32") ? 4 : 1);

function bytesUnder(format: BaseFormat, weight: WeightSpec): number {
  const stored = storedLeaves(new Graph(), weight, format);
  const parts = stored ? Object.values(stored.parts) : [{ dtype: "float32" as const, shape: weight.shape }];
  return parts.reduce((sum, { dtype, shape }) => sum + bytesOf({ dtype, shape: shape as number[] }), 0);
}

console.log(`| | ${BASE_FORMATS.join(" | ")} |\n|${" --- |".repeat(1 + BASE_FORMATS.length)}`);
for (const name of CONFIG_NAMES) {
  const weights = [...shapeOfModel(name).trace.weights.values()];
  const totals = BASE_FORMATS.map((format) => weights.reduce((sum, weight) => sum + bytesUnder(format, weight), 0));
  const cells = totals.map((total) => `${(total / 1e6).toFixed(1)} MB (${(total / totals[0]!).toFixed(3)})`);
  console.log(`| ${name} | ${cells.join(" | ")} |`);
}
