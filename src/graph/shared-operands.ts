import type { GraphNode, OnnxEmitter, Value } from "./graph.ts";
import { THIN } from "./ops/define.ts";

/** Writes nodes instead of a node's own; nothing if those of another node replace them. */
export type Rewrite = (emitter: OnnxEmitter) => void;

interface SharingProduct {
  node: GraphNode;
  key: string;
  thin: Value;
  size: number;
}

/**
 * Joins thin products of one operand into one: those of adapters in layers with the same input, and the gradients of their `A`.
 * An operand is then read once, not once for each layer.
 * @param nodes in the order in which they are written
 */
export function joinSharingProducts(nodes: readonly GraphNode[]): ReadonlyMap<GraphNode, Rewrite> {
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  const groups = new Map<string, SharingProduct[]>();
  for (const product of nodes.flatMap((node) => sharingProduct(node, read) ?? [])) {
    groups.set(product.key, [...(groups.get(product.key) ?? []), product]);
  }
  const rewrites = new Map<GraphNode, Rewrite>();
  for (const group of groups.values()) {
    if (group.length < 2) continue;
    const place = isForward(group[0]!.node) ? group[0]! : group.at(-1)!;
    for (const { node } of group) rewrites.set(node, () => {});
    rewrites.set(place.node, (emitter) => writeJoined(group, emitter));
  }
  return rewrites;
}

/** `x Aᵀ`, with A a weight, rather than a weight's gradient `dᵀ x`. */
const isForward = ({ attributes }: GraphNode): boolean => attributes.transB === true;

function sharingProduct(node: GraphNode, read: ReadonlySet<Value>): SharingProduct | undefined {
  const { op, inputs, attributes } = node;
  if (op.name !== "Gemm" || inputs.length > 2 || attributes.transA === attributes.transB) return undefined;
  const [a, b] = inputs as [Value, Value];
  const [shared, thin, axis] = isForward(node) ? [a, b, 0] : [b, a, 1];
  const size = thin.shape[axis]!;
  // Weights exist before the first of the products, and gradients that are only outputs are not read before the last one.
  const joinable = isForward(node) ? thin.leaf : !read.has(node.outputs[0]!);
  if (!joinable || typeof size !== "number" || size > THIN) return undefined;
  return { node, key: `${shared.id} ${JSON.stringify(attributes)}`, thin, size };
}

function writeJoined(group: readonly SharingProduct[], emitter: OnnxEmitter): void {
  const { node } = group[0]!;
  const forward = isForward(node);
  const thin = emitter.emit(
    "Concat",
    group.map((product) => product.thin),
    { attributes: { axis: forward ? 0 : 1 } },
  );
  const alpha = node.attributes.alpha === 1 ? {} : { alpha: { float: node.attributes.alpha as number } };
  const product = emitter.emit("Gemm", forward ? [node.inputs[0]!, thin] : [thin, node.inputs[1]!], {
    attributes: { transA: Number(!forward), transB: Number(forward), ...alpha },
  });
  emitter.emit("Split", [product, emitter.int64(group.map(({ size }) => size))], {
    attributes: { axis: forward ? 1 : 0 },
    outputs: group.map(({ node }) => node.outputs[0]!),
  });
}
