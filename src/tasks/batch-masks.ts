import type { Value } from "../graph/graph.ts";
import { abs, mul, sign, sub, transpose } from "../graph/ops.ts";

// Masks of 0 and 1 over the rows of a batch, as targets give them: what objectives that couple a batch are written with.

/** Added to what a softmax is not to see. */
export const MASKED = -1e30;

/** 1 where numbers are equal that are whole, 0 elsewhere, broadcast. */
export const equal = (a: Value, b: Value | number): Value => sub(1, sign(abs(sub(a, b))));

/** `[rows, 1]` → `[1, rows]` */
export const asRow = (column: Value): Value => transpose(column, [1, 0]);

/** Of a mask, so much that a softmax does not see where it is 0. */
export const hide = (mask: Value): Value => mul(sub(1, mask), MASKED);
