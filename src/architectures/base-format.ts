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

/** Storage format of the frozen weights of a base model. */
export type BaseFormat = "float32" | "int8" | "int4" | "q8_0" | "q4_1" | "q4_0";
export const BASE_FORMATS: readonly BaseFormat[] = ["float32", "int8", "int4"];
export const ANSWER_FORMATS: readonly BaseFormat[] = [...BASE_FORMATS, "q8_0", "q4_1", "q4_0"];

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
 * Returns the format that stores blocks of these types exactly, or else most closely; undefined if there are no blocks.
 */
export function formatOfTypes(types: ReadonlySet<string>): BaseFormat | undefined {
  const all = (...names: string[]): boolean => [...types].every((type) => names.includes(type));
  if (![...types].some((type) => type.startsWith("Q"))) return undefined;
  if (all("Q4_0")) return "q4_0";
  return all("Q4_0", "Q4_1") ? "q4_1" : "q8_0";
}

function formatOf({ part, use, shape }: WeightSpec, base: BaseFormat): LinearFormat | TableFormat | undefined {
  if (base === "float32" || part === "head" || !use) return undefined;
  const format: LinearFormat | TableFormat = FORMATS[base][use];
  return format.takes?.(shape[1] as number) === false ? undefined : format;
}

const partName = (weight: WeightSpec, base: BaseFormat, part: string): string => `${weight.name}.${base}.${part}`;

export const isQuantized = (weight: WeightSpec, base: BaseFormat): boolean => formatOf(weight, base) !== undefined;

export function quantizedParts(weight: WeightSpec, base: BaseFormat): [string, Pick<Tensor, "dtype" | "shape">][] {
  const parts = formatOf(weight, base)!.parts(...(weight.shape as [number, number]));
  return Object.entries(parts).map(([part, like]) => [partName(weight, base, part), like]);
}

export const quantizeWeight = (weight: WeightSpec, base: BaseFormat, values: Tensor<"float32">): [string, Tensor][] =>
  named(weight, base, formatOf(weight, base)!.quantize(values));

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

export function dequantizedWeight(
  weight: WeightSpec,
  base: Exclude<BaseFormat, "float32">,
  tensors: Tensors,
): Tensor<"float32"> {
  const { format, parts } = storedLayer(weight, base, tensors)!;
  return format.dequantize(parts, weight.shape as [number, number]);
}

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
