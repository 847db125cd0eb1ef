import { describeModel, hasFamily, type ModelDescription } from "../../src/architectures/families.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { refuseOtherModel } from "../../src/base-models/base-model.ts";
import { processorFor } from "../../src/base-models/media-reader.ts";
import type { ModelFiles } from "../../src/checkpoints/model-files.ts";
import { readModelConfig, readNetwork } from "../../src/checkpoints/model-folder.ts";
import { UserError } from "../../src/errors.ts";
import { elementsOf } from "../../src/graph/tensor.ts";
import { defaultMethod } from "../../src/preparation/default-method.ts";
import type { TaskKind } from "../../src/tasks/task-kind.ts";
import { findTaskKind } from "../../src/tasks/task-kinds.ts";

export interface ModelFacts {
  name: string;
  /** `model_type` in its config.json. */
  type: string;
  parameters: number;
  layers: number;
  /** Name of the default method for such examples and this model. */
  method: string;
  /** Estimated bytes of training. */
  memory: number;
  /** Bytes to download; 0 if the browser has them already, undefined if unknown. */
  download?: number;
}

/** Maximum bytes of Wasm memory. */
const WASM_MEMORY = 2 ** 32;
const TOKENS = 512;
/** Approximate number of values that a step keeps for each output of a linear layer. */
const KEPT = 3;

/** Computes a model's size from its configuration. For pictures, from its ONNX file. @param labels of the task */
export async function modelFacts(
  name: string,
  files: ModelFiles,
  kind: string,
  labels: readonly string[],
): Promise<ModelFacts> {
  const task = findTaskKind(kind);
  const description = await describe(files, task);
  refuseOtherModel(task, description);
  const { outputs, head } = task;
  const { modules, weights } = traceModel(description, outputs(labels, description.config), head);
  const parameters = sum([...weights.values()].map(({ shape }) => elementsOf(shape as number[])));
  const activations = 4 * TOKENS * KEPT * sum(modules.map(({ outFeatures }) => outFeatures));
  // Wasm has a copy of the weights.
  const inWasm = 4 * parameters + activations;
  if (inWasm > WASM_MEMORY) {
    throw new UserError(
      `${name} has ${Math.round(parameters / 1e6).toLocaleString("en-US")} million weights and would take ${(inWasm / 1e9).toFixed(1)} GB, more than the 4 GB of a page; choose a smaller model, or train it with npx aflora train`,
    );
  }
  const { modelType, layerCount } = description.config;
  const method = defaultMethod(task, "fitted", layerCount).name;
  return { name, type: modelType, parameters, layers: layerCount, method, memory: 4 * parameters + inWasm };
}

async function describe(files: ModelFiles, { reads }: Pick<TaskKind, "reads">): Promise<ModelDescription> {
  const raw = await readModelConfig(files);
  // No family reads pictures. Other models need no long download to be described.
  if (reads !== "pictures" || hasFamily(raw.model_type)) return describeModel(raw);
  const network = await readNetwork(files);
  return { ...describeModel(raw, network, await processorFor(network, files)), features: "mean" };
}

const sum = (numbers: readonly number[]): number => numbers.reduce((total, each) => total + each, 0);
