import { UserError } from "../../errors.ts";
import type { ByteSource } from "../../files/byte-source.ts";
import type { ModelFiles, WeightFormat } from "../model-files.ts";
import type { TensorSource } from "../tensor-source.ts";
import { withDerivedTensors } from "./derived-tensors.ts";
import { withExactWeights } from "./exact-weights.ts";
import { withFusedNodes } from "./fused-nodes.ts";
import { withLayers } from "./layers.ts";
import { type Network, nodesFor } from "./network.ts";
import { readNetwork } from "./read-network.ts";

/** Usual paths of an ONNX file in a model folder, those of Transformers.js first. */
const NAMES = ["model", "model_quantized", "model_q4"];
const FILES = NAMES.flatMap((name) => [`onnx/${name}.onnx`, `${name}.onnx`]);

/** Formats of ONNX files in a model folder, which hold the forward pass too. */
export const ONNX_FORMATS: readonly WeightFormat[] = FILES.map(onnxFormat);

/** Returns the format of an ONNX file by its path in the model folder. */
export function onnxFormat(file: string): WeightFormat {
  const folder = file.slice(0, file.lastIndexOf("/") + 1);
  return { file, holdsNetwork: true, open: (source, files) => openOnnx(source, files, folder) };
}

/**
 * Opens an ONNX file. @param folder its folder among the model's files, with a trailing slash
 * @throws UserError as {@link readNetwork}.
 */
export async function openOnnx(source: ByteSource, files: ModelFiles, folder: string): Promise<TensorSource> {
  const { location } = source;
  const read = await readNetwork(source, (name) => files.open(folder + name)).catch((error: unknown) => {
    if (error instanceof UserError) throw error;
    throw new UserError(
      `${location} is not an ONNX file, or is damaged: ${(error as Error).message}; get the file again`,
    );
  });
  const network = withLayers(trimmed(withFusedNodes(trimmed(withExactWeights(withDerivedTensors(read))))));
  // Shapes, axes and single numbers belong to the graph; only a layer of one output has a bias of one number.
  const tensors = new Map([...network.tensors].filter(([name, { values }]) => !values || name.endsWith(".bias")));
  return {
    location,
    network,
    tensors,
    async read(name) {
      const tensor = tensors.get(name);
      if (!tensor) throw new UserError(`${location} has no tensor "${name}"`);
      return tensor.read();
    },
  };
}

/** Removes what no output needs. */
function trimmed(network: Network): Network {
  const names = network.outputs.map(({ name }) => name);
  const nodes = nodesFor(network, names);
  const read = new Set([...names, ...nodes.flatMap(({ inputs }) => inputs)]);
  return { ...network, nodes, tensors: new Map([...network.tensors].filter(([name]) => read.has(name))) };
}
