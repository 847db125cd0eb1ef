/** A size: a number, a symbol (`"batch"`), or a product in canonical form (`"batch*sequence"`, `"2*batch"`). */
export type Dimension = number | string;
export type Shape = readonly Dimension[];

/** Thrown where a graph is written with shapes that do not fit; names the op, the operands and their shapes. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

/** A dimension as coefficient × sorted symbols. */
interface Monomial {
  coefficient: number;
  symbols: string[];
}

function parse(dimension: Dimension): Monomial {
  if (typeof dimension === "number") return { coefficient: dimension, symbols: [] };
  const parts = dimension.split("*");
  const first = Number(parts[0]);
  return Number.isNaN(first) ? { coefficient: 1, symbols: parts } : { coefficient: first, symbols: parts.slice(1) };
}

function format({ coefficient, symbols }: Monomial): Dimension {
  if (coefficient === 0 || symbols.length === 0) return coefficient;
  return (coefficient === 1 ? [] : [String(coefficient)]).concat(symbols).join("*");
}

/** Product of dimensions in canonical form: `product(["sequence", 2, "batch"])` is `"2*batch*sequence"`. */
export function product(dimensions: Shape): Dimension {
  let coefficient = 1;
  const symbols: string[] = [];
  for (const dimension of dimensions) {
    const factor = parse(dimension);
    coefficient *= factor.coefficient;
    symbols.push(...factor.symbols);
  }
  return format({ coefficient, symbols: symbols.sort() });
}

/** The dimension with its symbols replaced by numbers. */
export function evaluate(dimension: Dimension, sizes: Readonly<Record<string, number>>): number {
  const { coefficient, symbols } = parse(dimension);
  return symbols.reduce((size, symbol) => {
    const value = sizes[symbol];
    if (value === undefined) throw new ShapeError(`no size given for "${symbol}"`);
    return size * value;
  }, coefficient);
}

/** Symbols of a dimension: `["batch", "sequence"]` for `"batch*sequence"`. */
export function symbolsOf(dimension: Dimension): string[] {
  return parse(dimension).symbols;
}

/** The number in front of a dimension's symbols: 2 for `"2*batch"`. */
export function coefficientOf(dimension: Dimension): number {
  return parse(dimension).coefficient;
}

/** NumPy's broadcasting; undefined where two sizes differ and neither is 1. */
export function broadcast(a: Shape, b: Shape): Shape | undefined {
  const rank = Math.max(a.length, b.length);
  const shape: Dimension[] = [];
  for (let axis = 0; axis < rank; axis++) {
    const left = a[axis - rank + a.length] ?? 1;
    const right = b[axis - rank + b.length] ?? 1;
    if (left !== right && left !== 1 && right !== 1) return undefined;
    shape.push(left === 1 ? right : left);
  }
  return shape;
}

export function sameShape(a: Shape, b: Shape): boolean {
  return a.length === b.length && a.every((dimension, axis) => dimension === b[axis]);
}

/** `[batch, 4]` */
export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}
