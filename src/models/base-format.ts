import type { Graph } from "../graph/graph.ts";
import type { LinearFormat, StoredWeight } from "../graph/ops/linear-format.ts";
import { int8 } from "../graph/ops/linear-int8.ts";
import type { Tensor } from "../graph/tensor.ts";
import type { WeightSpec } from "./model-parts.ts";

/** How the weights of a base model that does not train are stored. */
export type BaseFormat = "float32" | "int8";
export const BASE_FORMATS: readonly BaseFormat[] = ["float32", "int8"];

/** Formats other than float32 of linear layers' weights. */
const LINEAR_FORMATS: Record<Exclude<BaseFormat, "float32">, LinearFormat> = { int8 };

/** The format of a weight under a base of format `base`; undefined for one that is float32 all the same. */
function formatOf({ part, use }: WeightSpec, base: BaseFormat): LinearFormat | undefined {
  if (base === "float32" || part !== "backbone" || use !== "linear") return undefined;
  return LINEAR_FORMATS[base];
}

const partName = (weight: WeightSpec, base: BaseFormat, part: string): string => `${weight.name}.${base}.${part}`;

/** Whether a base of format `base` stores a weight otherwise than in float32. */
export const isQuantized = (weight: WeightSpec, base: BaseFormat): boolean => formatOf(weight, base) !== undefined;

/** The tensors that stand in place of a weight that {@link isQuantized}, by name. */
export function quantizeWeight(weight: WeightSpec, base: BaseFormat, values: Tensor<"float32">): [string, Tensor][] {
  const parts = formatOf(weight, base)!.quantize(values);
  return Object.entries(parts).map(([part, tensor]) => [partName(weight, base, part), tensor]);
}

/** Leaves of a weight that does not train; undefined where it is float32. */
export function storedLeaves(graph: Graph, weight: WeightSpec, base: BaseFormat): StoredWeight | undefined {
  const format = formatOf(weight, base);
  if (!format) return undefined;
  const leaves = Object.entries(format.parts(...featuresOf(weight))).map(([part, { dtype, shape }]) => {
    return [part, graph.leaf("frozen", partName(weight, base, part), dtype, shape)] as const;
  });
  return { format, parts: Object.fromEntries(leaves) };
}

const featuresOf = ({ shape }: WeightSpec): [number, number] => shape as [number, number];
