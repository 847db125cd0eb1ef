import { elementsOf, float32 } from "../../graph/tensor.ts";
import { computedTensor } from "./computed-tensor.ts";
import type { Network, NetworkNode, NetworkTensor } from "./network.ts";

/**
 * Removes nodes that compute only with the file's tensors, such as weights that are cast, scaled or transposed before
 * use. Each result becomes a tensor that is computed when it is read. Shape computations stay in the network.
 */
export function withDerivedTensors(network: Network): Network {
  const tensors = new Map(network.tensors);
  const nodes = network.nodes.filter((node) => {
    const inputs = node.inputs.map((input) => tensors.get(input));
    const derive = Object.hasOwn(DERIVED, node.op) ? DERIVED[node.op] : undefined;
    const isWeight = inputs.some((input) => input && (!input.values || input.shape.length > 1));
    const tensor = isWeight && !inputs.includes(undefined) ? derive?.(node, inputs as NetworkTensor[]) : undefined;
    if (tensor) tensors.set(node.outputs[0]!, tensor);
    return !tensor;
  });
  return { ...network, nodes, tensors };
}

/** Returns the result of a node as a tensor, or undefined if that is not supported. */
type Derive = (node: NetworkNode, inputs: readonly NetworkTensor[]) => NetworkTensor | undefined;

/** ONNX codes of floating-point types. */
const REAL: ReadonlySet<unknown> = new Set([1, 10, 11, 16]);

const DERIVED: Readonly<Record<string, Derive>> = {
  Identity: (_node, [x]) => x,
  Cast: ({ attributes }, [x]) => (REAL.has(attributes.to) ? { ...x!, dtype: "F32", values: undefined } : undefined),
  Transpose: transposeTensor,
  Add: elementwise((a, b) => a + b),
  Sub: elementwise((a, b) => a - b),
  Mul: elementwise((a, b) => a * b),
  Div: elementwise((a, b) => a / b),
};

/** Returns the strides of a shape, broadcast to `rank` axes: 0 on broadcast axes. */
function strides(shape: readonly number[], rank: number): number[] {
  const own = new Array<number>(rank).fill(0);
  for (let axis = shape.length - 1, stride = 1; axis >= 0; stride *= shape[axis--]!) {
    if (shape[axis] !== 1) own[rank - shape.length + axis] = stride;
  }
  return own;
}

/** Yields the position of each element of a shape in a tensor of these strides. */
function* positions(shape: readonly number[], strides: readonly number[]): Generator<number> {
  const at = new Array<number>(shape.length).fill(0);
  let position = 0;
  for (let i = 0; i < elementsOf(shape); i++) {
    yield position;
    for (let axis = shape.length - 1; axis >= 0; axis--) {
      position += strides[axis]!;
      if (++at[axis]! < shape[axis]!) break;
      position -= strides[axis]! * shape[axis]!;
      at[axis] = 0;
    }
  }
}

function transposeTensor({ attributes }: NetworkNode, [x]: readonly NetworkTensor[]): NetworkTensor | undefined {
  const { shape } = x!;
  const perm = typeof attributes.perm === "object" ? attributes.perm : shape.map((_, axis) => axis).reverse();
  if (new Set(perm).size !== shape.length || perm.some((axis) => shape[axis] === undefined)) return undefined;
  const from = strides(shape, shape.length);
  const to = perm.map((axis) => shape[axis]!);
  return computedTensor(to, [x!], ([values]) => {
    const result = float32(to);
    let i = 0;
    for (const position of positions(
      to,
      perm.map((axis) => from[axis]!),
    ))
      result.data[i++] = values!.data[position]!;
    return result;
  });
}

function elementwise(compute: (a: number, b: number) => number): Derive {
  return (_node, [a, b]) => {
    if (a!.dtype !== "F32" || b!.dtype !== "F32") return undefined;
    const rank = Math.max(a!.shape.length, b!.shape.length);
    // Vectors stay in the graph, with the weight under its own name: Gemma adds 1 to norm weights.
    if (rank < 2) return undefined;
    const sizes = [a!, b!].map(({ shape }) => [...new Array<number>(rank - shape.length).fill(1), ...shape]);
    const shape = sizes[0]!.map((size, axis) => (size === 1 ? sizes[1]![axis]! : size));
    if (sizes[1]!.some((size, axis) => size !== 1 && size !== shape[axis])) return undefined;
    // Two vectors of a small file could span a tensor of any size.
    if (elementsOf(shape) > Math.max(elementsOf(a!.shape), elementsOf(b!.shape))) return undefined;
    return computedTensor(shape, [a!, b!], ([left, right]) => {
      const result = float32(shape);
      const others = positions(shape, strides(b!.shape, rank));
      let i = 0;
      for (const position of positions(shape, strides(a!.shape, rank))) {
        result.data[i++] = compute(left!.data[position]!, right!.data[others.next().value as number]!);
      }
      return result;
    });
  };
}
