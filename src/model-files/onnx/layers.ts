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
  /** Whether the file holds its weight as `[in, out]`. */
  turned: boolean;
  bias: string | undefined;
  /** What it makes, its bias added. */
  output: string;
  /** The node that adds its bias, where that is another. */
  adds?: NetworkNode;
}

/**
 * The same network with its products with weights as layers that methods can adapt. Each has a name of Hugging Face's where its weight,
 * its bias or its node says it, and its tensors are called after it. Whether it belongs to attention is told by what is around it: a softmax between two
 * products.
 */
export function withLayers(network: Network): Network {
  const { tensors } = network;
  const wiring = new Wiring(network);
  const found = new Map<NetworkNode, FoundLayer>();
  for (const node of network.nodes) {
    const layer = foundLayer(node, tensors, wiring);
    if (layer) found.set(node, layer);
  }
  const added = new Set([...found.values()].map(({ adds }) => adds));
  const places = placesOf(network, wiring, found);
  const named = new Map(tensors);
  const weights = new Map<string, string>();
  const nodes = network.nodes.flatMap((node): NetworkNode[] => {
    const layer = found.get(node);
    if (!layer) return added.has(node) ? [] : [node];
    const { weight, bias, output, turned, inFeatures, outFeatures } = layer;
    const name = uniqueName(layerName(node, layer), weight, weights);
    const matrix = tensors.get(weight)!;
    named.set(`${name}.weight`, turned ? turnedMatrix(matrix) : matrix);
    if (bias !== undefined) named.set(`${name}.bias`, tensors.get(bias)!);
    const made: NetworkLayer = { name, ...places.get(node)!, inFeatures, outFeatures, bias: bias !== undefined };
    return [{ ...node, op: LAYER, inputs: [node.inputs[0]!], outputs: [output], attributes: {}, layer: made }];
  });
  const read = new Set(nodes.flatMap(({ inputs }) => inputs));
  for (const { weight, bias = "" } of found.values()) {
    for (const own of [weight, bias]) if (!read.has(own) && !isOwnName(own, weights)) named.delete(own);
  }
  return { ...network, nodes, tensors: named };
}

/** Whether a tensor is called after its layer already. */
const isOwnName = (tensor: string, layers: ReadonlyMap<string, string>): boolean =>
  /\.(weight|bias)$/.test(tensor) && layers.has(tensor.replace(/\.\w+$/, ""));

/** The matrix with rows and columns exchanged. */
const turnedMatrix = ({ shape, read, ...tensor }: NetworkTensor): NetworkTensor => ({
  ...tensor,
  shape: shape.toReversed(),
  read: async () => transposed(await read()),
});

/** Whether a tensor is a matrix, or numbers for each of `width` outputs. */
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
  const sizes = { weight, inFeatures, outFeatures, turned: transB !== 1 };
  const output = node.outputs[0]!;
  if (node.op === "Gemm") {
    const fits = transA === 0 && alpha === 1 && beta === 1 && (!addend || isBias(tensors.get(addend), outFeatures));
    return fits ? { ...sizes, bias: addend || undefined, output } : undefined;
  }
  const adds = wiring.onlyReader(output);
  const bias = adds?.op === "Add" ? adds.inputs.find((input) => isBias(tensors.get(input), outFeatures)) : undefined;
  return bias === undefined ? { ...sizes, bias, output } : { ...sizes, bias, output: adds!.outputs[0]!, adds: adds! };
}

/** What each layer is for, and in which block. */
function placesOf(
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
  // The last product of each attention.
  const ends = new Map<NetworkNode, number>();
  let blocks = 0;
  for (const middle of nodes.filter(({ op }) => op === "Softmax" || op === ATTENTION)) {
    const isWhole = middle.op === ATTENTION;
    const before = isWhole ? [middle] : wiring.met(middle.inputs, "back", stops).filter(isProduct);
    const after = isWhole ? [middle] : wiring.met(middle.outputs, "on", stops).filter(isProduct);
    if (before.length === 0 || after.length === 0) continue;
    const read = [...before, ...after].flatMap(({ inputs }) => inputs);
    const around = [
      ...wiring.met(read, "back", (node) => stops(node) || node.op === "Softmax"),
      ...wiring.met(
        after.flatMap(({ outputs }) => outputs),
        "on",
        stops,
      ),
    ];
    for (const node of around.filter(isLayer)) if (!attention.has(node)) attention.set(node, blocks);
    for (const node of after) ends.set(node, blocks);
    blocks++;
  }
  const places = new Map<NetworkNode, Pick<NetworkLayer, "role" | "block">>();
  let block = 0;
  let begun = false;
  for (const node of nodes) {
    block = ends.get(node) ?? block;
    const own = attention.get(node);
    begun ||= own !== undefined;
    if (!isLayer(node)) continue;
    if (own !== undefined) places.set(node, { role: "attention", block: own });
    else places.set(node, { block, ...(begun && { role: "ffn" }) });
  }
  return places;
}

/** What a layer is called: after its weight, its bias or its node's path, whichever says a module's name. */
function layerName({ name: node, module }: NetworkNode, { weight, bias }: FoundLayer): string {
  const ofWeight = moduleOf(weight, "weight");
  const ofBias = bias === undefined ? undefined : moduleOf(bias, "bias");
  const path = /^\/(.+)\/(MatMul|Gemm)(_\d+)?(_quant)?$/.exec(node)?.[1]?.replaceAll("/", ".");
  return ofWeight ?? ofBias ?? module ?? path ?? weight.replace(/\W+/g, "_");
}

function moduleOf(tensor: string, part: "weight" | "bias"): string | undefined {
  return /^[\w.]+$/.test(tensor) && tensor.endsWith(`.${part}`) ? tensor.slice(0, -part.length - 1) : undefined;
}

/** The name, or where another weight has it already the name with a number. @param taken weights by their layers' names */
function uniqueName(name: string, weight: string, taken: Map<string, string>): string {
  for (let number = 1; ; number++) {
    const own = number === 1 ? name : `${name}_${number}`;
    if ((taken.get(own) ?? weight) !== weight) continue;
    taken.set(own, weight);
    return own;
  }
}
