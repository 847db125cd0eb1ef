import type { RowsOf, Value } from "../../graph/graph.ts";
import { cumulativeSum, mul, reduceSum, relu, sub } from "../../graph/ops.ts";
import { type RowSelection, selectRows } from "../../graph/row-selection.ts";

export interface ReadRows extends RowSelection {
  /** Name of their origins in a batch, which their dropout masks depend on. */
  readonly name: string;
  /**
   * Selects the same tokens among the queries of attention's scores: `[batch, heads, sequence, keys]` → `[batch, heads, 1, keys]`.
   * Defined if one row of each text is read.
   */
  queries?(scores: Value): Value;
}

/** Returns the rows that are read of a value; `rowsOf` returns those of the values from which it is computed. */
type RowRule = (read: ReadRows, rowsOf: RowsOf) => Value;

const RULES = new WeakMap<Value, RowRule>();

/** Sets how rows that are read are computed from a value's operands, where its ops alone do not tell. */
export function withRowRule(value: Value, rule: RowRule): Value {
  RULES.set(value, rule);
  return value;
}

/** Marks a value whose rows are all computed in any case, so that rows that are read are selected from it. */
export const computedWhole = (rows: Value): Value => withRowRule(rows, (read) => read.select(rows));

/**
 * Returns the rows that are read, `[all, width]` → `[count, width]`. In the last block no others are computed, except for keys
 * and values.
 */
export const readRows = (rows: Value, read: ReadRows): Value =>
  selectRows(rows, read, (value, rowsOf) => RULES.get(value)?.(read, rowsOf));

/** Selects queries of a value that broadcasts to attention's scores, `[…, sequence or 1, keys]`. */
export function readQueries(value: Value, read: ReadRows): Value {
  if (value.shape[2] === 1) return value;
  return RULES.get(value)?.(read, (other) => other) ?? read.queries!(value);
}

/** Returns 1 at the last real token of each text, on whichever side padding is, and 0 elsewhere: `[batch, sequence]`. */
export function lastTokens(attentionMask: Value): Value {
  const after = sub(reduceSum(attentionMask, [1], true), cumulativeSum(attentionMask, 1));
  return mul(attentionMask, relu(sub(1, after)));
}
