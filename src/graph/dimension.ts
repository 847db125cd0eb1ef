/** A size: a number, a symbol (`"batch"`) or a polynomial in canonical form (`"2*batch*sequence"`, `"past+sequence"`). */
export type Dimension = number | string;
/** The sizes of a tensor, outermost first. */
export type Shape = readonly Dimension[];

/** Thrown if an op's operands do not fit its shape rule. The message names the op, the operands and their shapes. */
export class ShapeError extends Error {
  override name = "ShapeError";
}

export interface Term {
  coefficient: number;
  symbols: readonly string[];
}

/** Returns the summands of a dimension: those of `"2*batch+1"` are 2 × batch and 1. */
export function termsOf(dimension: Dimension): Term[] {
  if (typeof dimension === "number") return [{ coefficient: dimension, symbols: [] }];
  return dimension.split("+").map((term) => {
    const factors = term.split("*");
    const first = Number(factors[0]);
    return Number.isNaN(first)
      ? { coefficient: 1, symbols: factors }
      : { coefficient: first, symbols: factors.slice(1) };
  });
}

/** Collects like terms, sorted by their symbols and the plain number last. Equal dimensions give equal strings. */
function canonical(terms: readonly Term[]): Dimension {
  const coefficients = new Map<string, number>();
  for (const { coefficient, symbols } of terms) {
    const key = symbols.toSorted().join("*");
    coefficients.set(key, (coefficients.get(key) ?? 0) + coefficient);
  }
  const constant = coefficients.get("") ?? 0;
  coefficients.delete("");
  const symbolic = [...coefficients]
    .filter(([, coefficient]) => coefficient !== 0)
    .sort(([a], [b]) => (a < b ? -1 : 1))
    .map(([symbols, coefficient]) => (coefficient === 1 ? symbols : `${coefficient}*${symbols}`));
  if (symbolic.length === 0) return constant;
  return [...symbolic, ...(constant === 0 ? [] : [constant])].join("+");
}

/** Returns the sum of dimensions in canonical form: `sum(["sequence", "past", 0])` is `"past+sequence"`. */
export const sum = (dimensions: Shape): Dimension => canonical(dimensions.flatMap(termsOf));

export const difference = (a: Dimension, b: Dimension): Dimension => sum([a, product([-1, b])]);

/** Returns the product of dimensions in canonical form: `product(["sequence", 2, "batch"])` is `"2*batch*sequence"`. */
export function product(dimensions: Shape): Dimension {
  let total: Term[] = [{ coefficient: 1, symbols: [] }];
  for (const dimension of dimensions) {
    const factor = termsOf(dimension);
    total = total.flatMap((a) =>
      factor.map((b) => ({ coefficient: a.coefficient * b.coefficient, symbols: [...a.symbols, ...b.symbols] })),
    );
  }
  return canonical(total);
}

export function quotient(a: Dimension, b: Dimension): Dimension | undefined {
  const [divisor, ...others] = termsOf(b);
  if (others.length > 0 || divisor!.coefficient === 0) return undefined;
  const terms: Term[] = [];
  for (const { coefficient, symbols } of termsOf(a)) {
    const left = [...symbols];
    for (const symbol of divisor!.symbols) {
      const at = left.indexOf(symbol);
      if (at < 0) return undefined;
      left.splice(at, 1);
    }
    const part = coefficient / divisor!.coefficient;
    if (!Number.isInteger(part)) return undefined;
    terms.push({ coefficient: part, symbols: left });
  }
  return canonical(terms);
}

/** Returns the dimension's size for the given sizes of its symbols. @throws ShapeError if a symbol has no size. */
export function evaluate(dimension: Dimension, sizes: Readonly<Record<string, number>>): number {
  return termsOf(dimension).reduce((total, { coefficient, symbols }) => {
    const size = symbols.reduce((product, symbol) => {
      const value = sizes[symbol];
      if (value === undefined) throw new ShapeError(`no size given for "${symbol}"`);
      return product * value;
    }, coefficient);
    return total + size;
  }, 0);
}

/** Broadcasts two shapes as NumPy does. Returns undefined if two sizes differ and neither is 1. */
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

export function showShape(shape: Shape): string {
  return `[${shape.join(", ")}]`;
}
