import { z } from "zod";
import type { Graph, Value } from "../graph/graph.ts";
import { add, gather, gemm, mul, padTo, reshape, sub, transpose } from "../graph/ops.ts";
import { float32, type Tensor } from "../graph/tensor.ts";
import { constant, kaimingUniform } from "./initializers.ts";
import { indices, product, scaleColumns, scaleRows } from "./matrix.ts";
import { type AdapterParameter, type MethodDefinition, namesOf } from "./method.ts";
import { adapterDropout, checkRank, targetModules } from "./options.ts";
import { startingProjections } from "./starts/starts.ts";
import { selectModules } from "./target-modules.ts";

type Matrix = Tensor<"float32">;

const options = z.object({
  rank: z
    .int()
    .positive()
    .default(46)
    .describe("rank of the projections; rank · (rank - 1) / 2 + 2 · rank numbers train in each layer"),
  adapterDropout,
  targetModules,
});

/** Trained parameters of a layer: what turns, and the scales of inputs and outputs of the rotation. */
const TRAINED = /\.[Qab]$/;

/**
 * PSOFT (Wu et al. 2025, arXiv 2505.11235), as in Hugging Face PEFT: `y = W0 x + B (Λb R Λa - I) A x`. A `[rank, in]` has the right singular
 * vectors of W0 with its largest singular values, B `[out, rank]` the left ones times these values; both are frozen. R `[rank, rank]` is a
 * rotation, by Cayley's transform of the skew-symmetric matrix with the numbers Q above its diagonal; a and b scale.
 *
 * PEFT's files lack A and B, which PEFT computes again from the base. Since the signs of singular vectors are arbitrary, no other program
 * can read such a file: this method's form in PEFT is a LoRA.
 */
export const psoft: MethodDefinition<typeof options> = {
  name: "psoft",
  summary: "trained rotations of the main directions of the weights",
  recipe: { learningRate: 1e-3, headLearningRate: 4e-3 },
  options,
  shapeOptions: ["rank", "targetModules"],

  adapt({ rank, adapterDropout, targetModules }, modules) {
    const adapted = selectModules(modules, targetModules);
    const initialize = kaimingUniform(1);
    const parameters = adapted.flatMap((module): AdapterParameter[] => {
      checkRank(rank, module);
      const { name, inFeatures, outFeatures } = module;
      // Decay would draw the scales to 0, and with them a part of the weight.
      const scale = { shape: [rank], initialize: constant(1), decays: false };
      return [
        { name: `${name}.A`, shape: [rank, inFeatures], initialize, decays: false },
        { name: `${name}.B`, shape: [outFeatures, rank], initialize, decays: false },
        { name: `${name}.Q`, shape: [(rank * (rank - 1)) / 2], initialize: constant(0), decays: true },
        { name: `${name}.a`, ...scale },
        { name: `${name}.b`, ...scale },
      ];
    });
    return {
      modules: adapted,
      parameters,
      trainable: namesOf(parameters.filter(({ name }) => TRAINED.test(name))),
      inputDropout: adapterDropout,
      adapt(parameter, x, layer, { name }) {
        const own = (part: string): Value => parameter(`${name}.${part}`);
        const turned = mul(mul(writeRotation(own("Q"), rank), own("a")), reshape(own("b"), [rank, 1]));
        const change = sub(turned, identity(x.graph, rank));
        const down = gemm(gemm(x, own("A"), { transB: true }), change, { transB: true });
        return gemm(down, own("B"), { transB: true, addend: layer(x) });
      },
      asLora({ name }, values) {
        const own = (part: string): Matrix => values.get(`${name}.${part}`)!;
        const turned = scaleRows(scaleColumns(rotation(own("Q").data, rank), own("a")), own("b"));
        for (const i of indices(rank)) turned.data[i * (rank + 1)]! -= 1;
        return { rank, alpha: rank, A: product(turned, own("A")), B: own("B") };
      },
    };
  },

  start: ({ rank }, { modules }, from) =>
    startingProjections("weights", modules, rank, from, ({ values }) => ({ A: 1, B: values })),
};

/** Place in `[0, numbers above the diagonal, in rows]` of each element of a matrix `[size, size]`: 0 on and below the diagonal. */
function placesAbove(size: number): number[] {
  let next = 1;
  return Array.from({ length: size * size }, (_, i) => (i % size > Math.floor(i / size) ? next++ : 0));
}

/**
 * Rotation by Cayley's transform `(I + S) (I - S)⁻¹` of the skew-symmetric matrix S with these numbers above its diagonal. As with PEFT's
 * `use_cayley_neumann`, the inverse is the sum of the first powers of S: `(I + S) (I + S + S² + S³)`.
 */
function writeRotation(above: Value, size: number): Value {
  const { graph } = above;
  const count = (size * (size - 1)) / 2;
  const rows = padTo(reshape(above, [count, 1]), 0, 1, count + 1);
  const upper = reshape(gather(rows, graph.constant(placesAbove(size), "int32", [size * size])), [size, size]);
  const skew = sub(upper, transpose(upper, [1, 0]));
  const one = identity(graph, size);
  const second = add(one, skew);
  const third = gemm(skew, second, { addend: one });
  const inverse = gemm(skew, third, { addend: one });
  return gemm(skew, inverse, { addend: inverse });
}

function identity(graph: Graph, size: number): Value {
  const elements = Array.from({ length: size * size }, (_, i) => Number(i % (size + 1) === 0));
  return graph.constant(elements, "float32", [size, size]);
}

/** The same rotation as numbers. */
function rotation(above: Float32Array, size: number): Matrix {
  const skew = float32([size, size]);
  placesAbove(size).forEach((place, i) => {
    if (place === 0) return;
    const [row, column] = [Math.floor(i / size), i % size];
    skew.data[row * size + column] = above[place - 1]!;
    skew.data[column * size + row] = -above[place - 1]!;
  });
  const plusIdentity = (matrix: Matrix): Matrix =>
    float32(
      matrix.shape,
      matrix.data.map((value, i) => value + Number(i % (size + 1) === 0)),
    );
  const inverse = plusIdentity(product(skew, plusIdentity(product(skew, plusIdentity(skew)))));
  const turned = product(skew, inverse);
  return float32(
    turned.shape,
    turned.data.map((value, i) => value + inverse.data[i]!),
  );
}
