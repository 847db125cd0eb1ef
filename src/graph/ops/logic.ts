import { broadcast, type Shape } from "../dimension.ts";
import type { Op, Value } from "../graph.ts";
import { define, FLOATS, fail, NUMBERS, requireType, unary } from "./define.ts";
import { emitAs } from "./emit.ts";

function broadcastAll(name: string, inputs: readonly Value[]): Shape {
  let shape: Shape = [];
  for (const input of inputs) {
    shape = broadcast(shape, input.shape) ?? fail(name, inputs, "the shapes do not broadcast");
  }
  return shape;
}

function defineTest(name: string, allowed: Parameters<typeof requireType>[2]): Op<[Value, Value]> {
  return define<[Value, Value]>({
    name,
    infer(inputs) {
      requireType(name, inputs, allowed);
      return [{ dtype: "bool", shape: broadcastAll(name, inputs) }];
    },
    onnx: emitAs(name),
  });
}

const EQUAL = defineTest("Equal", [...NUMBERS, "bool"]);
const GREATER = defineTest("Greater", NUMBERS);
const AND = defineTest("And", ["bool"]);
const OR = defineTest("Or", ["bool"]);

/** Whether `a = b`, broadcast. No gradient flows through comparisons and logical operations. */
export const equal = (a: Value, b: Value): Value => a.graph.apply(EQUAL, [a, b], {});
/** Whether `a > b`, broadcast. */
export const greater = (a: Value, b: Value): Value => a.graph.apply(GREATER, [a, b], {});
/** Logical and, broadcast. */
export const and = (a: Value, b: Value): Value => a.graph.apply(AND, [a, b], {});
/** Logical or, broadcast. */
export const or = (a: Value, b: Value): Value => a.graph.apply(OR, [a, b], {});

const NOT = define<[Value]>({
  name: "Not",
  infer(inputs) {
    requireType("Not", inputs, ["bool"]);
    return [{ dtype: "bool", shape: inputs[0].shape }];
  },
  onnx: emitAs("Not"),
});

/** Logical not. */
export const not = (x: Value): Value => unary(NOT, x);

const IS_NAN = define<[Value]>({
  name: "IsNaN",
  infer(inputs) {
    requireType("IsNaN", inputs, FLOATS);
    return [{ dtype: "bool", shape: inputs[0].shape }];
  },
  onnx: emitAs("IsNaN"),
});

/** Whether an element is NaN; no gradient flows. */
export const isNotNumber = (x: Value): Value => unary(IS_NAN, x);

const WHERE = define<[Value, Value, Value]>({
  name: "Where",
  infer(inputs) {
    const [condition, a, b] = inputs;
    requireType("Where", [condition], ["bool"]);
    requireType("Where", [a, b], [...NUMBERS, "bool"]);
    return [{ dtype: a.dtype, shape: broadcastAll("Where", inputs) }];
  },
  onnx: emitAs("Where"),
  gradient({ inputs: [condition] }, dy) {
    const zero = dy.graph.constant([0], dy.dtype);
    return [undefined, where(condition, dy, zero), where(condition, zero, dy)];
  },
});

/** Selects `a` where `condition` is true, `b` elsewhere; all three broadcast. */
export const where = (condition: Value, a: Value, b: Value): Value => a.graph.apply(WHERE, [condition, a, b], {});
