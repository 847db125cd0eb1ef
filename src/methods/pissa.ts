import type { LinearModule } from "../architectures/model-parts.ts";
import { opt, UserError } from "../errors.ts";
import { float32, type Tensor } from "../graph/tensor.ts";
import type { LowRank } from "./low-rank.ts";
import { indices, scaleColumns, scaleRows, spreadColumns, spreadRows } from "./matrix.ts";
import type { AdapterParameter } from "./method.ts";
import { type Directions, principalDirections } from "./starts/principal-directions.ts";

type Matrix = Tensor<"float32">;

/** Directions by weight, because four parameters of a layer start from them. */
const found = new WeakMap<Matrix, Directions>();

/**
 * PiSSA's initialization (Meng et al. 2024, arXiv 2404.02948, equations 2 and 3): A `[rank, in]` and B `[out, rank]`, so that `scale · B A`
 * is the part of a weight `[out, in]` with the largest singular values. A and B contain the square root of each.
 */
export function principalPart(weight: Matrix, rank: number, scale: number): Record<"A" | "B", Matrix> {
  const known = found.get(weight);
  const directions = known?.values.length === rank ? known : principalDirections(weight, rank);
  found.set(weight, directions);
  const { left, values, right } = directions;
  const roots = float32(
    [rank],
    Float32Array.from(values, (value) => Math.sqrt(value / scale)),
  );
  return { A: scaleRows(right, roots), B: scaleColumns(left, roots) };
}

/** A and B, which train, and A0 and B0, their fixed initial values. None decays: decay would shrink the weight's part in A and B. */
export function principalParameters(
  { name, inFeatures, outFeatures }: LinearModule,
  rank: number,
  scale: number,
  rateFactor: number,
): AdapterParameter[] {
  const parameter = (part: "A" | "B", place: "" | "0"): AdapterParameter => ({
    name: `${name}.${part}${place}`,
    shape: part === "A" ? [rank, inFeatures] : [outFeatures, rank],
    initialize: (_shape, _random, weight) => principalPart(weight(), rank, scale)[part],
    decays: false,
    ...(part === "B" && { rateFactor }),
  });
  return [parameter("A", ""), parameter("B", ""), parameter("A", "0"), parameter("B", "0")];
}

/**
 * Converts `B A - B0 A0` to one product of twice the rank.
 * @throws UserError if that exceeds the rank of the layer
 */
export function changeAsLora(
  { name, inFeatures, outFeatures }: LinearModule,
  { A, B, A0, B0 }: Record<"A" | "B" | "A0" | "B0", Matrix>,
): Pick<LowRank, "rank" | "A" | "B"> {
  const half = A.shape[0]!;
  const rank = 2 * half;
  if (rank > Math.min(inFeatures, outFeatures)) {
    throw new UserError(
      `as LoRA, PiSSA of rank ${half} has rank ${rank}, which exceeds that of layer "${name}" [${outFeatures}, ${inFeatures}]; use ${opt("format")} merged`,
    );
  }
  const [first, second] = [indices(half), indices(half).map((place) => half + place)];
  const sum = (a: Matrix, b: Matrix): Matrix =>
    float32(
      a.shape,
      a.data.map((value, i) => value + b.data[i]!),
    );
  return {
    rank,
    A: sum(spreadRows(A, first, rank), spreadRows(A0, second, rank)),
    B: sum(spreadColumns(B, first, rank), spreadColumns(B0, second, rank, -1)),
  };
}
