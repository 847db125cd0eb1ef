import { transposed } from "../../graph/tensor.ts";
import {
  ATTENTION,
  LAYER,
  type Network,
  type NetworkLayer,
  type NetworkNode,
  type NetworkTensor,
  PRODUCTS,
} from "./network.ts";
import { Wiring } from "./wiring.ts";

/** A product with a weight of the file, before its layer has a name. */
interface FoundLayer extends Pick<NetworkLayer, "inFeatures" | "outFeatures"> {
  weight: string;
  /** Whether the file stores its weight as `[in, out]`. */
  isTransposed: boolean;
  bias: string | undefined;
  /** Name of its output, with the bias added. */
  output: string;
  /** The node that adds its bias, if that is a separate one. */
  biasNode?: NetworkNode;
}

/**
 * Turns products with weights into layers that methods can adapt. A layer gets the Hugging Face name that its weight,
 * its bias or its node has, and its tensors are named after it. It belongs to attention if its neighbours do: a softmax
 * between two products.
 */
export function withLayers(network: Network): Network {
  const { tensors } = network;
  const wiring = new Wiring(network);
  const foundLayers = new Map<NetworkNode, FoundLayer>();
  for (const node of network.nodes) {
    const layer = foundLayer(node, tensors, wiring);
    if (layer) foundLayers.set(node, layer);
  }
  const added = new Set([...foundLayers.values()].map(({ biasNode }) => biasNode));
  const roles = rolesOf(network, wiring, foundLayers);
  const named = new Map(tensors);
  const weights = new Map<string, string>();
  const nodes = network.nodes.flatMap((node): NetworkNode[] => {
    const layer = foundLayers.get(node);
    if (!layer) return added.has(node) ? [] : [node];
    const { weight, bias, output, isTransposed, inFeatures, outFeatures } = layer;
    const name = uniqueName(layerName(node, layer), weight, weights);
    const matrix = tensors.get(weight)!;
    named.set(`${name}.weight`, isTransposed ? transposedMatrix(matrix) : matrix);
    if (bias !== undefined) named.set(`${name}.bias`, tensors.get(bias)!);
    const made: NetworkLayer = { name, ...roles.get(node)!, inFeatures, outFeatures, bias: bias !== undefined };
    return [{ ...node, op: LAYER, inputs: [node.inputs[0]!], outputs: [output], attributes: {}, layer: made }];
  });
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  for (const { weight, bias = "" } of foundLayers.values()) {
    for (const own of [weight, bias]) if (!read.has(own) && !isOwnName(own, weights)) named.delete(own);
  }
  return { ...network, nodes, tensors: named };
}

const isOwnName = (tensor: string, layers: ReadonlyMap<string, string>): boolean =>
  /\.(weight|bias)$/.test(tensor) && layers.has(tensor.replace(/\.\w+$/, ""));

const transposedMatrix = ({ shape, read, ...tensor }: NetworkTensor): NetworkTensor => ({
  ...tensor,
  shape: shape.toReversed(),
  read: async () => transposed(await read()),
});

const isMatrix = (tensor: NetworkTensor | undefined): tensor is NetworkTensor =>
  tensor?.shape.length === 2 && tensor.values === undefined;
const isBias = (tensor: NetworkTensor | undefined, width: number): boolean =>
  tensor !== undefined && tensor.shape.length === 1 && tensor.shape[0] === width;

function foundLayer(node: NetworkNode, tensors: Network["tensors"], wiring: Wiring): FoundLayer | undefined {
  const [x = "", weight = "", addend] = node.inputs;
  const matrix = tensors.get(weight);
  if ((node.op !== "MatMul" && node.op !== "Gemm") || !isMatrix(matrix) || tensors.has(x)) return undefined;
  const { transA = 0, transB = 0, alpha = 1, beta = 1 } = node.attributes;
  const [rows, columns] = matrix.shape as [number, number];
  const [inFeatures, outFeatures] = transB === 1 ? [columns, rows] : [rows, columns];
  const sizes = { weight, inFeatures, outFeatures, isTransposed: transB !== 1 };
  const output = node.outputs[0]!;
  if (node.op === "Gemm") {
    const fits = transA === 0 && alpha === 1 && beta === 1 && (!addend || isBias(tensors.get(addend), outFeatures));
    return fits ? { ...sizes, bias: addend || undefined, output } : undefined;
  }
  const biasNode = wiring.onlyReader(output);
  const bias =
    biasNode?.op === "Add" ? biasNode.inputs.find((input) => isBias(tensors.get(input), outFeatures)) : undefined;
  return bias === undefined
    ? { ...sizes, bias, output }
    : { ...sizes, bias, output: biasNode!.outputs[0]!, biasNode: biasNode! };
}

function rolesOf(
  { nodes, tensors }: Network,
  wiring: Wiring,
  layers: ReadonlyMap<NetworkNode, FoundLayer>,
): Map<NetworkNode, Pick<NetworkLayer, "role" | "block">> {
  const isLayer = (node: NetworkNode): boolean => layers.has(node);
  const isProduct = (node: NetworkNode): boolean =>
    (PRODUCTS.has(node.op) || node.op === ATTENTION) &&
    !isLayer(node) &&
    !node.inputs.some((input) => tensors.has(input));
  const stops = (node: NetworkNode): boolean => isLayer(node) || isProduct(node);
  const attention = new Map<NetworkNode, number>();
  // The last product of each attention, with its block.
  const ends = new Map<NetworkNode, number>();
  let blocks = 0;
  for (const middle of nodes.filter(({ op }) => op === "Softmax" || op === ATTENTION)) {
    const isWhole = middle.op === ATTENTION;
    const before = isWhole ? [middle] : wiring.reachable(middle.inputs, "back", stops).filter(isProduct);
    const after = isWhole ? [middle] : wiring.reachable(middle.outputs, "on", stops).filter(isProduct);
    if (before.length === 0 || after.length === 0) continue;
    const read = [...before, ...after].flatMap(({ inputs }) => inputs);
    const around = [
      ...wiring.reachable(read, "back", (node) => stops(node) || node.op === "Softmax"),
      ...wiring.reachable(
        after.flatMap(({ outputs }) => outputs),
        "on",
        stops,
      ),
    ];
    for (const node of around.filter(isLayer)) if (!attention.has(node)) attention.set(node, blocks);
    for (const node of after) ends.set(node, blocks);
    blocks++;
  }
  const roles = new Map<NetworkNode, Pick<NetworkLayer, "role" | "block">>();
  let block = 0;
  let begun = false;
  for (const node of nodes) {
    block = ends.get(node) ?? block;
    const own = attention.get(node);
    begun ||= own !== undefined;
    if (!isLayer(node)) continue;
    if (own !== undefined) roles.set(node, { role: "attention", block: own });
    else roles.set(node, { block, ...(begun && { role: "ffn" }) });
  }
  return roles;
}

/** Returns a layer's name, taken from its weight, its bias or its node's path, whichever names a module. */
function layerName({ name: node, module }: NetworkNode, { weight, bias }: FoundLayer): string {
  const ofWeight = moduleOf(weight, "weight");
  const ofBias = bias === undefined ? undefined : moduleOf(bias, "bias");
  const path = /^\/(.+)\/(MatMul|Gemm)(_\d+)?(_quant)?$/.exec(node)?.[1]?.replaceAll("/", ".");
  return ofWeight ?? ofBias ?? module ?? path ?? weight.replace(/\W+/g, "_");
}

function moduleOf(tensor: string, part: "weight" | "bias"): string | undefined {
  return /^[\w.]+$/.test(tensor) && tensor.endsWith(`.${part}`) ? tensor.slice(0, -part.length - 1) : undefined;
}

/** Adds a number to the name if another weight has it. @param taken weights by their layers' names */
function uniqueName(name: string, weight: string, taken: Map<string, string>): string {
  for (let number = 1; ; number++) {
    const own = number === 1 ? name : `${name}_${number}`;
    if ((taken.get(own) ?? weight) !== weight) continue;
    taken.set(own, weight);
    return own;
  }
}
