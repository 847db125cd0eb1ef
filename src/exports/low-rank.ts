import type { AdapterDescription } from "../finetuning/adapter.ts";
import { float32, type Tensor, type Tensors } from "../graph/tensor.ts";
import type { LinearSite } from "../models/architecture.ts";

/** What an adapter adds to a layer's weight: `alpha / rank · B A`, A `[rank, in]` and B `[out, rank]`. */
export interface LowRank {
  rank: number;
  alpha: number;
  A: Tensor<"float32">;
  B: Tensor<"float32">;
}

type Fold = (site: LinearSite, parameter: (name: string) => Tensor<"float32">, options: FoldOptions) => LowRank;

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
    const A = scaleRows(cutColumns(parameter(`${owner}.A`), inFeatures), parameter(`${name}.d`));
    const B = scaleRows(cutRows(parameter(`${owner}.B`), outFeatures), parameter(`${name}.b`));
    return { rank, alpha: rank, A, B };
  },
};

/** Whether a method's adapters can be written as an ordinary LoRA. */
export const isLowRank = (method: string): boolean => method in FOLDS;

/** A layer's adapter as an ordinary LoRA. */
export function foldLayer(
  { method, methodOptions }: AdapterDescription,
  site: LinearSite,
  parameters: Tensors<"float32">,
): LowRank {
  return FOLDS[method]!(site, (name) => parameters.get(name)!, methodOptions as unknown as FoldOptions);
}

/** Keeps the directions whose gate is open, at least one; gate and scale go into A. */
function compact(A: Tensor<"float32">, gates: Tensor<"float32">, B: Tensor<"float32">, scale: number): LowRank {
  const [count, width] = A.shape as [number, number];
  const height = B.shape[0]!;
  const open = [...gates.data.keys()].filter((i) => gates.data[i] !== 0);
  const kept = open.length > 0 ? open : [0];
  const rank = kept.length;
  const [rows, columns] = [float32([rank, width]), float32([height, rank])];
  kept.forEach((from, to) => {
    for (let j = 0; j < width; j++) rows.data[to * width + j] = A.data[from * width + j]! * gates.data[from]! * scale;
    for (let i = 0; i < height; i++) columns.data[i * rank + to] = B.data[i * count + from]!;
  });
  return { rank, alpha: rank, A: rows, B: columns };
}

function scaleRows({ shape, data }: Tensor<"float32">, { data: factors }: Tensor<"float32">): Tensor<"float32"> {
  const width = shape[1]!;
  return float32(
    shape,
    data.map((value, i) => value * factors[Math.floor(i / width)]!),
  );
}

/** The first `columns` of a matrix. */
function cutColumns({ shape, data }: Tensor<"float32">, columns: number): Tensor<"float32"> {
  const [rows, width] = shape as [number, number];
  const cut = float32([rows, columns]);
  for (let row = 0; row < rows; row++) cut.data.set(data.subarray(row * width, row * width + columns), row * columns);
  return cut;
}

/** The first `rows` of a matrix, over the same memory. */
function cutRows({ shape, data }: Tensor<"float32">, rows: number): Tensor<"float32"> {
  const width = shape[1]!;
  return float32([rows, width], data.subarray(0, rows * width));
}
