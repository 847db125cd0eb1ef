import type { Arrays } from "../methods/method.ts";
import type { LinearSite } from "../models/architecture.ts";
import type { AdapterDescription } from "../runs/adapter.ts";

/** What an adapter adds to a layer's weight: `alpha / rank · B A`, A `[rank, in]` and B `[out, rank]`. */
export interface LowRank {
  rank: number;
  alpha: number;
  A: Float32Array;
  B: Float32Array;
}

type Fold = (site: LinearSite, parameter: (name: string) => Float32Array, options: FoldOptions) => LowRank;

/** Options of all methods that a fold reads; each method has those that its own fold asks for. */
interface FoldOptions {
  rank: number;
  alpha: number;
  initialRank?: number;
  sharing?: string;
}

/** How each low-rank method's adapter is an ordinary LoRA (spec sections 1 and 6). */
const FOLDS: Readonly<Record<string, Fold>> = {
  lora: ({ name }, parameter, { rank, alpha }) => {
    return { rank, alpha, A: parameter(`${name}.A`), B: parameter(`${name}.B`) };
  },

  aflora: ({ name }, parameter, { rank }) => {
    const A = scaleRows(parameter(`${name}.A`), parameter(`${name}.d`));
    return { rank, alpha: rank, A, B: scaleRows(parameter(`${name}.B`), parameter(`${name}.b`)) };
  },

  sora: ({ name }, parameter, { rank, alpha }) =>
    compact(parameter(`${name}.A`), parameter(`${name}.g`), parameter(`${name}.B`), alpha / rank),

  adalora: ({ name }, parameter, { rank, alpha, initialRank = Math.round(1.5 * rank) }) =>
    compact(parameter(`${name}.A`), parameter(`${name}.E`), parameter(`${name}.B`), alpha / (initialRank + 1e-5)),

  elora: ({ name, inFeatures, outFeatures }, parameter, { rank, sharing }) => {
    const owner = sharing === "layer" ? name : sharing === "sliced" ? "shared" : `shared.${outFeatures}x${inFeatures}`;
    const A = scaleRows(cutColumns(parameter(`${owner}.A`), rank, inFeatures), parameter(`${name}.d`));
    const B = scaleRows(parameter(`${owner}.B`).subarray(0, outFeatures * rank), parameter(`${name}.b`));
    return { rank, alpha: rank, A, B };
  },
};

/** Whether a method's adapters can be written as an ordinary LoRA. */
export const isLowRank = (method: string): boolean => method in FOLDS;

/** A layer's adapter as an ordinary LoRA. */
export function foldLayer(
  { method, methodOptions }: AdapterDescription,
  site: LinearSite,
  parameters: Arrays,
): LowRank {
  return FOLDS[method]!(site, (name) => parameters.get(name)!, methodOptions as unknown as FoldOptions);
}

/** Keeps the directions whose gate is open, at least one; gate and scale go into A. */
function compact(A: Float32Array, gates: Float32Array, B: Float32Array, scale: number): LowRank {
  const open = [...gates.keys()].filter((i) => gates[i] !== 0);
  const kept = open.length > 0 ? open : [0];
  const rank = kept.length;
  const width = A.length / gates.length;
  const height = B.length / gates.length;
  const rows = new Float32Array(rank * width);
  const columns = new Float32Array(height * rank);
  kept.forEach((from, to) => {
    for (let j = 0; j < width; j++) rows[to * width + j] = A[from * width + j]! * gates[from]! * scale;
    for (let i = 0; i < height; i++) columns[i * rank + to] = B[i * gates.length + from]!;
  });
  return { rank, alpha: rank, A: rows, B: columns };
}

function scaleRows(matrix: Float32Array, factors: Float32Array): Float32Array {
  const width = matrix.length / factors.length;
  return matrix.map((value, i) => value * factors[Math.floor(i / width)]!);
}

/** The first `columns` of a matrix of `rows`. */
function cutColumns(matrix: Float32Array, rows: number, columns: number): Float32Array {
  const width = matrix.length / rows;
  const cut = new Float32Array(rows * columns);
  for (let row = 0; row < rows; row++) cut.set(matrix.subarray(row * width, row * width + columns), row * columns);
  return cut;
}
