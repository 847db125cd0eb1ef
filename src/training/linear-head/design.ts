import type { DesignRows } from "./newton.ts";

/** Rows of features and what they are to come to. */
export interface FeatureRows {
  rows: number;
  /** Features of a row. */
  width: number;
  outputs: number;
  /** `[rows, width]` */
  features: Float32Array;
  /** `[rows, outputs]` */
  targets: Float32Array;
  /** `[rows]`: what each row's loss counts for. */
  weights: Float32Array;
}

/** A linear function of a row's features. */
export interface LinearFunction {
  /** `[outputs, width]` */
  weight: Float64Array;
  /** `[outputs]` */
  bias: Float64Array;
}

/**
 * Rows as the solver takes them: features centred and scaled by one number to a mean square of 1 a row, so that a penalty means
 * the same whatever the features are; and where there are far fewer rows than features, turned into the rows' own span. None of
 * that changes what a fit can come to: the bias goes unpenalised, and what is orthogonal to all rows gets 0.
 */
export class Design implements DesignRows {
  readonly rows: number;
  readonly width: number;
  readonly outputs: number;
  readonly values: Float64Array;
  readonly targets: Float64Array;
  readonly weights: Float64Array;
  /** By place, the number of the row among those given. */
  readonly order: Int32Array;
  /** Features were divided by it. */
  readonly scale: number;
  readonly #mean: Float64Array;
  /** `[width - 1, features]`, orthonormal; absent where the features were not turned. */
  readonly #axes: Float64Array | undefined;

  /** @param order numbers of the rows to take, in the order of {@link canonicalOrder} */
  constructor(given: FeatureRows, order: Int32Array) {
    const { outputs, width: features } = given;
    const rows = order.length;
    this.rows = rows;
    this.outputs = outputs;
    this.order = order;
    this.#mean = new Float64Array(features);
    for (const row of this.order) {
      for (let j = 0; j < features; j++) this.#mean[j]! += given.features[row * features + j]! / rows;
    }
    let squares = 0;
    for (const row of this.order) {
      for (let j = 0; j < features; j++) squares += (given.features[row * features + j]! - this.#mean[j]!) ** 2;
    }
    this.scale = Math.sqrt(squares / rows) || 1;
    this.#axes = 2 * rows <= features ? spanOf(this.#scaled(given, features), features) : undefined;
    this.width = 1 + (this.#axes ? this.#axes.length / features : features);
    this.values = this.#axes
      ? turned(this.#scaled(given, features), this.#axes, features)
      : this.#scaled(given, features + 1);
    this.targets = new Float64Array(rows * outputs);
    order.forEach((row, place) => {
      for (let k = 0; k < outputs; k++) this.targets[place * outputs + k] = given.targets[row * outputs + k]!;
    });
    this.weights = Float64Array.from(order, (row) => given.weights[row]!);
  }

  /** Centred and scaled rows, `stride` apart; what is left of a row is 1. */
  #scaled({ width, features }: FeatureRows, stride: number): Float64Array {
    const values = new Float64Array(this.rows * stride).fill(1);
    this.order.forEach((row, place) => {
      for (let j = 0; j < width; j++) {
        values[place * stride + j] = (features[row * width + j]! - this.#mean[j]!) / this.scale;
      }
    });
    return values;
  }

  /** Coefficients `[outputs, width]` as a function of the features that were given. */
  functionOf(coefficients: Float64Array): LinearFunction {
    const { outputs, width } = this;
    const features = this.#mean.length;
    const weight = new Float64Array(outputs * features);
    const bias = new Float64Array(outputs);
    for (let k = 0; k < outputs; k++) {
      bias[k] = coefficients[(k + 1) * width - 1]!;
      for (let axis = 0; axis < width - 1; axis++) {
        const coefficient = coefficients[k * width + axis]! / this.scale;
        if (!this.#axes) weight[k * features + axis] = coefficient;
        else
          for (let j = 0; j < features; j++)
            weight[k * features + j]! += coefficient * this.#axes[axis * features + j]!;
      }
      for (let j = 0; j < features; j++) bias[k]! -= weight[k * features + j]! * this.#mean[j]!;
    }
    return { weight, bias };
  }
}

/**
 * Numbers of rows in an order of their own, by features, then targets and weights: in it, what is summed or drawn comes to the
 * same whatever the order in which rows were given.
 */
export function canonicalOrder({ rows, width, outputs, features, targets, weights }: FeatureRows): Int32Array {
  const difference = (values: Float32Array, size: number, a: number, b: number): number => {
    for (let j = 0; j < size; j++) {
      const apart = values[a * size + j]! - values[b * size + j]!;
      if (apart !== 0) return apart;
    }
    return 0;
  };
  return Int32Array.from({ length: rows }, (_, row) => row).sort(
    (a, b) => difference(features, width, a, b) || difference(targets, outputs, a, b) || weights[a]! - weights[b]!,
  );
}

/** Features whose part outside of the span so far is smaller than this share of a row's size are within it. */
const WITHIN = 1e-7;

/** An orthonormal basis of rows `[rows, features]`: Gram and Schmidt, each row twice. */
function spanOf(values: Float64Array, features: number): Float64Array {
  const axes: Float64Array[] = [];
  for (let start = 0; start < values.length; start += features) {
    const rest = values.slice(start, start + features);
    const size = lengthOf(rest);
    for (const axis of [...axes, ...axes]) {
      const share = product(rest, axis);
      for (let j = 0; j < features; j++) rest[j]! -= share * axis[j]!;
    }
    const left = lengthOf(rest);
    if (left > WITHIN * size) axes.push(rest.map((each) => each / left));
  }
  const joined = new Float64Array(axes.length * features);
  axes.forEach((axis, i) => {
    joined.set(axis, i * features);
  });
  return joined;
}

/** Rows in terms of axes, with a 1 behind each. */
function turned(values: Float64Array, axes: Float64Array, features: number): Float64Array {
  const [rows, count] = [values.length / features, axes.length / features];
  const result = new Float64Array(rows * (count + 1)).fill(1);
  for (let row = 0; row < rows; row++) {
    for (let axis = 0; axis < count; axis++) {
      let sum = 0;
      for (let j = 0; j < features; j++) sum += values[row * features + j]! * axes[axis * features + j]!;
      result[row * (count + 1) + axis] = sum;
    }
  }
  return result;
}

function product(a: Float64Array, b: Float64Array): number {
  let sum = 0;
  for (let j = 0; j < a.length; j++) sum += a[j]! * b[j]!;
  return sum;
}

const lengthOf = (vector: Float64Array): number => Math.sqrt(product(vector, vector));
