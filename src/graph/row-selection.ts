import type { Dimension } from "./dimension.ts";
import type { RowsOf, Value } from "./graph.ts";

/** Some rows of values that have `all` rows, along the first axis. */
export interface RowSelection {
  readonly all: Dimension;
  readonly count: Dimension;
  /** Selects them from rows that are computed: `[all, …]` → `[count, …]`. */
  select(rows: Value): Value;
}

/**
 * Returns selected rows of `value`, `[count, …]`, and computes no others where it can: ops that treat each row alone are
 * written again for these rows only. Where other rows matter too, rows are selected from a value that has all of them.
 * @param written returns the rows of a value that has its own rule; undefined for others
 */
export function selectRows(
  value: Value,
  selection: RowSelection,
  written: (value: Value, rowsOf: RowsOf) => Value | undefined,
): Value {
  const done = new Map<Value, Value>();
  const rowsOf = (of: Value): Value => {
    if (of.shape[0] !== selection.all) return of;
    const known = done.get(of);
    if (known) return known;
    const compute = () => written(of, rowsOf) ?? writeAgain(of, rowsOf, selection.count) ?? selection.select(of);
    // Operations count for the part and the pass of the value, wherever its rows are asked for.
    const rows = of.node ? of.graph.within(of.node.provenance, compute) : compute();
    done.set(of, rows);
    return rows;
  };
  return rowsOf(value);
}

function writeAgain(value: Value, rowsOf: RowsOf, count: Dimension): Value | undefined {
  const { node } = value;
  if (!node?.op.rows) return undefined;
  const result = node.op.rows(node, rowsOf, count);
  const place = node.outputs.indexOf(value);
  return place === 0 ? result : result?.node?.outputs[place];
}
