import { ShapeError, showShape } from "../dimension.ts";
import type { Attributes, NoAttributes, Op, Value } from "../graph.ts";
import type { DataType } from "../tensor.ts";

export const MICROSOFT = "com.microsoft";

export const FLOATS: readonly DataType[] = ["float32", "float64"];
export const NUMBERS: readonly DataType[] = ["float32", "float64", "int32", "int64"];

/** Largest inner size of a thin product, enough for most adapters: it takes as long as writing its result. */
export const THIN = 16;

const table = new Map<string, Op>();

/** Every op by its name, which is its ONNX name if it has one. */
export const ops: ReadonlyMap<string, Op> = table;

export function define<Inputs extends readonly Value[], Attrs extends Attributes = NoAttributes>(
  op: Op<Inputs, Attrs>,
): Op<Inputs, Attrs> {
  table.set(op.name, op);
  return op;
}

/** @throws ShapeError naming the op, the reason, the operands and their shapes. */
export function fail(name: string, inputs: readonly Value[], reason: string): never {
  const operands = inputs.map((input) => `${input.label} ${input.dtype}${showShape(input.shape)}`).join(", ");
  throw new ShapeError(`${name}: ${reason} (operands: ${operands})`);
}

export function requireType(name: string, inputs: readonly Value[], allowed: readonly DataType[]): void {
  const [first] = inputs;
  if (inputs.some((input) => input.dtype !== first!.dtype)) fail(name, inputs, "the operands' types differ");
  if (!allowed.includes(first!.dtype)) fail(name, inputs, `takes ${allowed.join(" or ")}`);
}

export function requireIndices(name: string, inputs: readonly Value[], indices: readonly Value[]): void {
  if (indices.some(({ dtype }) => dtype !== "int32" && dtype !== "int64")) {
    fail(name, inputs, "the indices must be integers");
  }
}

export function likeOperand(name: string): Op<[Value], Attributes>["infer"] {
  return (inputs) => {
    requireType(name, inputs, FLOATS);
    const [{ dtype, shape }] = inputs;
    return [{ dtype, shape }];
  };
}

/** Row rule of an op that treats each row alone; operands of fewer axes than the result have no rows. */
export const eachRow: NonNullable<Op["rows"]> = ({ op, inputs, attributes, outputs }, rowsOf) => {
  const { graph, shape } = outputs[0]!;
  if (shape.length < 2) return undefined;
  const rows = inputs.map((input) => (input.shape.length === shape.length ? rowsOf(input) : input));
  return graph.apply(op, rows, attributes);
};

export const unary = (op: Op<[Value]>, x: Value): Value => x.graph.apply(op, [x], {});
