import type { Value } from "../graph/graph.ts";
import { abs, mul, sign, sub, transpose } from "../graph/ops.ts";

// Masks of 0 and 1 over the rows of a batch, computed from targets, for objectives that couple the rows of a batch.

export const MASKED = -1e30;

/** 1 if two integers are equal, 0 otherwise, broadcast. */
export const equal = (a: Value, b: Value | number): Value => sub(1, sign(abs(sub(a, b))));

/** `[rows, 1]` → `[1, rows]` */
export const asRow = (column: Value): Value => transpose(column, [1, 0]);

/** Addend that makes a softmax ignore the entries where a mask is 0. */
export const hide = (mask: Value): Value => mul(sub(1, mask), MASKED);
