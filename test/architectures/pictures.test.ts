import { describe, expect, test } from "vitest";
import { describeModel } from "../../src/architectures/families.ts";
import { readModelWeights } from "../../src/architectures/model-weights.ts";
import { traceModel } from "../../src/architectures/trace.ts";
import { openModelFolder } from "../../src/checkpoints/model-folder.ts";
import { modelFiles } from "../../src/checkpoints/model-folder-node.ts";
import type { Network } from "../../src/checkpoints/onnx/network.ts";
import { float32 } from "../../src/graph/tensor.ts";
import { full } from "../../src/methods/full.ts";
import { findMethod } from "../../src/methods/methods.ts";
import { crossEntropy } from "../../src/tasks/losses/objective.ts";
import type { TrainingExample } from "../../src/tasks/task-kind.ts";
import { layOut } from "../../src/training/batches/model-inputs.ts";
import { DropoutMasks } from "../../src/training/dropout/dropout-masks.ts";
import { objectiveInputs, totalWeight } from "../../src/training/objective/objective-inputs.ts";
import { writeStep } from "../../src/training/step-graph.ts";
import { expectLikeAutograd, withLabel } from "../support/autograd.ts";
import { CONVOLUTIONAL_MODELS, expectedPictures, PICTURE_MODELS, pictureModel } from "../support/pictures.ts";
import { runtime } from "../support/runtime.ts";

const PIXELS = 3 * 16 * 16;
const LABELS = [2, 0];

/** One picture of a batch. */
const exampleOf = (pixels: readonly number[], index: number, label: number, length = 17): TrainingExample => {
  const none = new Int32Array(length);
  const write = (into: Float32Array) => into.set(pixels.slice(index * PIXELS, (index + 1) * PIXELS));
  const inputs = { pixel_values: { shape: [3, 16, 16], key: String(index), write } };
  return withLabel({ index, encoding: { inputIds: none, tokenTypeIds: none }, inputs }, label);
};

// From PyTorch's older and newer exporter, by oracle/pictures.py.
describe("a picture model against PyTorch and autograd", () => {
  test.each([
    ...PICTURE_MODELS.map((name) => [name, { blocks: 2, length: 17 }] as const),
    ...CONVOLUTIONAL_MODELS.map((name) => [name, { blocks: 0, length: 12 * 12 }] as const),
  ])("%s", async (name, { blocks, length }) => {
    const { config, weights: source } = await openModelFolder(await modelFiles(pictureModel(name)));
    const description = describeModel(config, source.network, { height: 16, width: 16 });
    expect([description.config.layerCount, description.config.maxLength, description.config.hiddenSize]).toEqual([
      blocks,
      length,
      16,
    ]);
    const expected = expectedPictures(name);
    const examples = LABELS.map((label, index) => exampleOf(expected.pixels, index, label, length));
    const { trace, unused, lacking } = await expectLikeAutograd(pictureModel(name), description, expected, examples);
    const roles = ["attention", "attention", "attention", "attention", "ffn", "ffn"];
    expect(trace.modules.map(({ role }) => role).slice(0, 6)).toEqual(blocks > 0 ? roles : []);
    // CLIP normalises its pooled vector.
    expect(unused.filter((each) => !/^(post_layernorm|head)/.test(each))).toEqual([]);
    // The older exporter stores positions, and values computed from them, as constants.
    expect(lacking).toBeLessThan(4);
  });
});

/** A network in which nodes of an op have other attributes. */
const withAttributes = (
  network: Network,
  op: string,
  attributes: Record<string, number | string | number[]>,
): Network => ({
  ...network,
  nodes: network.nodes.map((node) =>
    node.op === op ? { ...node, attributes: { ...node.attributes, ...attributes } } : node,
  ),
});

test("patches beyond the edge equal those of a shifted picture", async () => {
  const { config, weights: source } = await openModelFolder(await modelFiles(pictureModel("vit")));
  const { pixels } = expectedPictures("vit");
  const moved = pixels.map((_, i) => {
    const [x, y] = [i % 16, Math.floor(i / 16) % 16];
    return x > 0 && y > 0 ? pixels[i - 17]! : 0;
  });
  const stepOf = async (network: Network, given: readonly number[]) => {
    const description = describeModel(config, network, { height: 16, width: 16 });
    const trace = traceModel(description, 3);
    const { weights } = await readModelWeights({ ...source, network }, description, trace);
    weights.set(
      "classifier.weight",
      float32(
        [3, 16],
        Float32Array.from({ length: 48 }, (_, i) => Math.sin(i)),
      ),
    );
    weights.set("classifier.bias", float32([3]));
    const model = { ...description, adaptation: full.adapt({}, []), labelCount: 3, trainsHead: () => true };
    const step = writeStep(model, crossEntropy, { dropout: false });
    const trained = await runtime.compile(step.outputs, weights);
    const examples = [exampleOf(given, 0, 1), exampleOf(given, 1, 2)];
    const results = await trained.run({
      ...layOut(step.streams, examples).inputs,
      ...objectiveInputs(crossEntropy, 3, examples, totalWeight(examples)),
    });
    await trained.release();
    return results;
  };
  const expected = await stepOf(source.network!, moved);
  const found = await stepOf(withAttributes(source.network!, "Conv", { pads: [1, 1, 1, 1] }), pixels);
  const names = Object.keys(expected).filter((name) => name === "loss" || name.includes("patch_embeddings"));
  expect(names).toHaveLength(3);
  for (const name of names) {
    expected[name]!.data.forEach((value, i) => {
      expect(Number(found[name]!.data[i]), name).toBeCloseTo(Number(value), 4);
    });
  }
});

describe("unsupported parts of a picture model are rejected with the node", () => {
  const changed = async (name: string, op: string, attributes: Record<string, number | string | number[]>) => {
    const { config, weights } = await openModelFolder(await modelFiles(pictureModel(name)));
    const network = withAttributes(weights.network!, op, attributes);
    return () => describeModel(config, network, { height: 16, width: 16 });
  };

  test.each([
    ["vit", "Conv", { pads: [4, 0, 0, 0] }, /node "\S+" \(Conv\) .*more is padded than a kernel reaches/],
    ["vit", "Conv", { strides: [0, 1] }, /\(Conv\) .*the kernel has no place on an axis/],
    ["vit", "Conv", { strides: [1] }, /\(Conv\) .*the kernel has no place on an axis/],
    ["vit", "Conv", { group: 0 }, /\(Conv\) .*takes \[batch, channels, …space\]/],
    ["dinov2", "Resize", { antialias: 1 }, /\(Resize\) cannot be trained on: it resizes by cubic/],
    ["convolutional", "BatchNormalization", { training_mode: 1 }, /it normalises by the statistics of each batch/],
    ["convolutional", "MaxPool", { kernel_shape: [40, 3] }, /\(MaxPool\) .*the kernel has no place on an axis/],
    ["convolutional", "Pad", { mode: "wrap" }, /\(Pad\) .*it pads by wrap/],
    [
      "dinov2",
      "Resize",
      { coordinate_transformation_mode: "tf_crop_and_resize" },
      /resizes by cubic, tf_crop_and_resize/,
    ],
  ])("%s, %s %j", async (name, op, attributes, why) => {
    expect(await changed(name, op, attributes)).toThrow(why);
  });

  test("sizes that contradict each other", async () => {
    const { config, weights } = await openModelFolder(await modelFiles(pictureModel("clip")));
    expect(() => describeModel(config, weights.network, { height: 20, width: 16 })).toThrow(
      "reads pictures of 16 × 16 pixels, and preprocessor_config.json makes them 16 × 20",
    );
  });

  test("an unknown size, unless config.json has it", async () => {
    const { config, weights } = await openModelFolder(await modelFiles(pictureModel("vit")));
    expect(describeModel(config, weights.network).config.picture).toEqual({ height: 16, width: 16 });
    expect(() => describeModel({ ...config, image_size: undefined }, weights.network)).toThrow(
      "add the model's preprocessor_config.json",
    );
  });
});

test("an adapter of ONNX layers has dropout, with equal masks for an example in any batch", async () => {
  const { config, weights: source } = await openModelFolder(await modelFiles(pictureModel("vit")));
  const description = describeModel(config, source.network, { height: 16, width: 16 });
  const { modules } = traceModel(description, 3);
  const adaptation = findMethod("lora").adapt({ rank: 2, alpha: 2, adapterDropout: 0.5, freezeA: false }, modules);
  const model = { ...description, adaptation, labelCount: 3, trainsHead: () => true };
  const { dropouts, streams } = writeStep(model, crossEntropy, { dropout: true });
  expect(dropouts).toHaveLength(modules.length);
  const { pixels } = expectedPictures("vit");
  const draw = (...examples: number[]) => {
    const batch = layOut(
      streams,
      examples.map((index) => ({ ...exampleOf(pixels, 0, 1), index })),
    );
    return new DropoutMasks(dropouts, 7).draw(3, batch)[dropouts[0]!.input]!;
  };
  const [both, alone] = [draw(4, 9), draw(9)];
  expect(both.shape).toEqual([2 * 17, 16]);
  expect([...both.data.slice(17 * 16)]).toEqual([...alone.data]);
  expect([...both.data.slice(0, 17 * 16)]).not.toEqual([...alone.data]);
  expect(new Set([...both.data].map(Number))).toEqual(new Set([0, 2]));
});
