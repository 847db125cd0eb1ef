import type { NetworkNode } from "../../checkpoints/onnx/network.ts";
import { UserError } from "../../errors.ts";
import type { Dimension } from "../../graph/dimension.ts";
import { type Graph, Value } from "../../graph/graph.ts";
import { concat, reshape, sizesOf } from "../../graph/ops.ts";
import type { ForwardContext } from "../forward-context.ts";
import { type Known, numbersOf } from "./constant-folding.ts";

export type Operand = Value | Known;

export type Importer = (node: ImportedNode) => Operand | readonly Operand[];

export const LOWEST = -3.4028234663852886e38;

export const isValue = (operand: Operand | undefined): operand is Value => operand instanceof Value;

export function asValue(graph: Graph, operand: Operand): Value {
  if (isValue(operand)) return operand;
  const numbers = numbersOf(operand);
  if (numbers) return graph.constant(numbers, operand.dtype, operand.shape);
  const list = operand.elements.length === 1 ? sizesOf(graph, operand.elements) : listOf(graph, operand.elements);
  return reshape(list, operand.shape);
}

/** Builds a list of sizes, of which several may be equal. */
const listOf = (graph: Graph, sizes: readonly Dimension[]): Value =>
  concat(
    sizes.map((size) => sizesOf(graph, [size])),
    0,
  );

export class ImportedNode {
  readonly graph: Graph;
  readonly attributes: NetworkNode["attributes"];

  constructor(
    readonly context: ForwardContext,
    private readonly location: string,
    readonly node: NetworkNode,
    readonly operands: readonly (Operand | undefined)[],
  ) {
    this.graph = context.graph;
    this.attributes = node.attributes;
  }

  value(index: number): Value {
    const operand = this.operands[index];
    if (operand === undefined) this.refuse(`its input ${index} is missing`);
    return asValue(this.graph, operand);
  }

  optional(index: number): Value | undefined {
    return this.operands[index] && this.value(index);
  }

  shape(index: number): readonly Dimension[] {
    return (this.operands[index] ?? this.value(index)).shape;
  }

  /** Returns the elements of an input that must be known before the graph runs; undefined if it is omitted. */
  elements(index: number): readonly Dimension[] | undefined {
    const operand = this.operands[index];
    if (isValue(operand)) this.refuse(`its input ${index} is computed as the graph runs, and must be known before`);
    return operand?.elements;
  }

  numbers(index: number): number[] | undefined {
    const elements = this.elements(index);
    if (elements?.some((element) => typeof element !== "number")) this.refuse(`its input ${index} must be numbers`);
    return elements as number[] | undefined;
  }

  number(name: string, otherwise: number): number {
    const value = this.attributes[name];
    return typeof value === "number" ? value : otherwise;
  }

  list(name: string): readonly number[] | undefined {
    const value = this.attributes[name];
    return typeof value === "object" ? value : undefined;
  }

  axis(axis: number, rank: number): number {
    const own = axis < 0 ? axis + rank : axis;
    if (!(own >= 0 && own < rank)) this.refuse(`there is no axis ${axis} of ${rank}`);
    return own;
  }

  /** @throws UserError naming the node, always. */
  refuse(why: string): never {
    const { op, name } = this.node;
    throw new UserError(`${this.location}: node "${name}" (${op}) cannot be trained on: ${why}`);
  }
}
