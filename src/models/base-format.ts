import type { Graph } from "../graph/graph.ts";
import type { NumberBlocks } from "../graph/number-blocks.ts";
import { q4_0, q4_1 } from "../graph/ops/blocks-q4.ts";
import { q8_0 } from "../graph/ops/blocks-q8.ts";
import { int4 } from "../graph/ops/linear-int4.ts";
import { int8 } from "../graph/ops/linear-int8.ts";
import { tableInt8 } from "../graph/ops/table-int8.ts";
import type { LayerFormat, LinearFormat, StoredWeight, TableFormat } from "../graph/ops/weight-format.ts";
import type { Tensor, Tensors } from "../graph/tensor.ts";
import type { WeightSpec } from "./model-parts.ts";

/** How the weights of a base model that does not train are stored. */
export type BaseFormat = "float32" | "int8" | "int4" | "q8_0" | "q4_1" | "q4_0";
/** Those to train on. */
export const BASE_FORMATS: readonly BaseFormat[] = ["float32", "int8", "int4"];
/** Those to answer with: also GGUF's, whose blocks are taken as they are. */
export const ANSWER_FORMATS: readonly BaseFormat[] = [...BASE_FORMATS, "q8_0", "q4_1", "q4_0"];

/** Formats by what a weight is used as. */
interface FormatFor {
  linear: LayerFormat;
  table: TableFormat;
}

const FORMATS: Record<Exclude<BaseFormat, "float32">, FormatFor> = {
  int8: { linear: int8, table: tableInt8 },
  int4: { linear: int4, table: tableInt8 },
  q8_0: { linear: q8_0, table: q8_0 },
  q4_1: { linear: q4_1, table: q8_0 },
  q4_0: { linear: q4_0, table: q8_0 },
};

/**
 * The format that has the layers of a file with blocks of these types as they are, or has them best; undefined where there are no blocks.
 * @param types GGUF's
 */
export function formatOfTypes(types: ReadonlySet<string>): BaseFormat | undefined {
  const all = (...names: string[]): boolean => [...types].every((type) => names.includes(type));
  if (![...types].some((type) => type.startsWith("Q"))) return undefined;
  if (all("Q4_0")) return "q4_0";
  return all("Q4_0", "Q4_1") ? "q4_1" : "q8_0";
}

/** The format of a weight under a base of format `base`; undefined for one that is float32 all the same. */
function formatOf({ part, use, shape }: WeightSpec, base: BaseFormat): LinearFormat | TableFormat | undefined {
  if (base === "float32" || part === "head" || !use) return undefined;
  const format: LinearFormat | TableFormat = FORMATS[base][use];
  return format.takes?.(shape[1] as number) === false ? undefined : format;
}

const partName = (weight: WeightSpec, base: BaseFormat, part: string): string => `${weight.name}.${base}.${part}`;

/** Whether a base of format `base` stores a weight otherwise than in float32. */
export const isQuantized = (weight: WeightSpec, base: BaseFormat): boolean => formatOf(weight, base) !== undefined;

/** What the tensors that stand in place of a weight that {@link isQuantized} are like, by name. */
export function quantizedParts(weight: WeightSpec, base: BaseFormat): [string, Pick<Tensor, "dtype" | "shape">][] {
  const parts = formatOf(weight, base)!.parts(...(weight.shape as [number, number]));
  return Object.entries(parts).map(([part, like]) => [partName(weight, base, part), like]);
}

/** The tensors that stand in place of a weight that {@link isQuantized}, by name. */
export const quantizeWeight = (weight: WeightSpec, base: BaseFormat, values: Tensor<"float32">): [string, Tensor][] =>
  named(weight, base, formatOf(weight, base)!.quantize(values));

/** The same of blocks that a file has; undefined where they are not of the weight's format. */
export function weightOfBlocks(
  weight: WeightSpec,
  base: BaseFormat,
  blocks: NumberBlocks,
): [string, Tensor][] | undefined {
  const parts = formatOf(weight, base)!.fromBlocks?.(blocks, weight.shape as [number, number]);
  return parts && named(weight, base, parts);
}

const named = (weight: WeightSpec, base: BaseFormat, parts: Readonly<Record<string, Tensor>>): [string, Tensor][] =>
  Object.entries(parts).map(([part, tensor]) => [partName(weight, base, part), tensor]);

/** A layer of the backbone as it is stored: its format, and the tensors by part. Undefined where it is float32. */
export function storedLayer(
  weight: WeightSpec,
  base: BaseFormat,
  tensors: Tensors,
): { format: LayerFormat; parts: Record<string, Tensor> } | undefined {
  if (base === "float32" || !isQuantized(weight, base)) return undefined;
  const { linear: format } = FORMATS[base];
  const parts = Object.keys(format.parts(...(weight.shape as [number, number]))).map((part) => {
    return [part, tensors.get(partName(weight, base, part))!] as const;
  });
  return { format, parts: Object.fromEntries(parts) };
}

/** The matrix that a linear layer of the backbone computes with, from the tensors that {@link quantizeWeight} made of it. */
export function dequantizedWeight(
  weight: WeightSpec,
  base: Exclude<BaseFormat, "float32">,
  tensors: Tensors,
): Tensor<"float32"> {
  const { format, parts } = storedLayer(weight, base, tensors)!;
  return format.dequantize(parts, weight.shape as [number, number]);
}

/** Leaves of a weight that does not train, in the format of its use; undefined where it is float32. */
export function storedLeaves(
  graph: Graph,
  weight: WeightSpec,
  base: BaseFormat,
): StoredWeight<LinearFormat | TableFormat> | undefined {
  const format = formatOf(weight, base);
  if (!format) return undefined;
  const shape = weight.shape as [number, number];
  const leaves = Object.entries(format.parts(...shape)).map(([part, like]) => {
    return [part, graph.leaf("frozen", partName(weight, base, part), like.dtype, like.shape)] as const;
  });
  return { format, shape, parts: Object.fromEntries(leaves) };
}
