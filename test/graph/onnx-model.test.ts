import { mkdtemp, rm, stat } from "node:fs/promises";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { InferenceSession, Tensor } from "onnxruntime-node";
import { afterAll, beforeAll, expect, it } from "vitest";
import { diskFolder } from "../../src/export/output-folder-node.ts";
import { Graph } from "../../src/graph/graph.ts";
import { type EncodeOptions, onnxModel } from "../../src/graph/onnx.ts";
import { modelBytes, type OnnxModel, onnxFiles } from "../../src/graph/onnx-model.ts";
import { add, gemm } from "../../src/graph/ops.ts";
import { float32 } from "../../src/graph/tensor.ts";

/** A layer takes four memory pages. */
const SIZE = 64;
const LAYERS = ["first", "second", "third"];
const BYTES = SIZE * SIZE * 4;

/** Three square layers in sequence, with a bias of a few bytes. */
function threeLayers(options?: EncodeOptions): OnnxModel {
  const graph = new Graph();
  let x = graph.leaf("input", "x", "float32", ["rows", SIZE]);
  for (const name of LAYERS) x = gemm(x, graph.leaf("frozen", name, "float32", [SIZE, SIZE]), { transB: true });
  const y = add(x, graph.leaf("frozen", "bias", "float32", [SIZE]));
  const weight = (size: number, seed: number) =>
    Float32Array.from({ length: size }, (_, i) => Math.sin(seed + i) / SIZE);
  const weights = LAYERS.map((name, i) => [name, float32([SIZE, SIZE], weight(SIZE * SIZE, i))] as const);
  const embedded = new Map([...weights, ["bias", float32([SIZE], weight(SIZE, 9))]]);
  return onnxModel({ y }, { ...options, embedded }).model;
}

async function run(model: string | Uint8Array): Promise<Float32Array> {
  const session = await (typeof model === "string" ? InferenceSession.create(model) : InferenceSession.create(model));
  const x = new Tensor(
    "float32",
    Float32Array.from({ length: 2 * SIZE }, (_, i) => Math.cos(i)),
    [2, SIZE],
  );
  const { y } = await session.run({ x });
  await session.release();
  return y!.data as Float32Array;
}

let folder: string;
beforeAll(async () => {
  folder = await mkdtemp(join(tmpdir(), "aflora-onnx-model-"));
});
afterAll(() => rm(folder, { recursive: true }));

it.each([
  ["one file where they fit", 1e6, ["onnx/model.onnx"]],
  ["one file beside the graph's", 49_300, ["onnx/model.onnx", "onnx/model.onnx_data"]],
  [
    "several files if one would be too large",
    2 ** 14,
    ["onnx/model.onnx", "onnx/model.onnx_data", "onnx/model.onnx_data_1", "onnx/model.onnx_data_2"],
  ],
])("weights in %s give the same result", async (name, most, expected) => {
  const model = threeLayers();
  const files = onnxFiles("onnx/model.onnx", model, most);
  expect(files.map((file) => file.name)).toEqual(expected);
  const home = join(folder, name);
  for (const file of files) {
    await diskFolder(home).write(file.name, file.pieces());
    expect((await stat(join(home, file.name))).size).toBe(file.size);
  }
  if (files.length > 1) expect(files[0].size).toBeLessThan(BYTES);
  expect(await run(join(home, "onnx/model.onnx"))).toEqual(await run(modelBytes(model)));
});

it("the shapes of all values do not change the result, and ONNX Runtime reads them", async () => {
  const model = threeLayers({ shapes: true });
  const shape = { dim: [{ dimParam: "rows" }, { dimValue: SIZE }] };
  const type = (elemType: number) => ({ tensorType: { elemType, shape } });
  expect(model.values).toEqual(LAYERS.map(() => ({ name: expect.any(String), type: type(1) })));
  expect(await run(modelBytes(model))).toEqual(await run(modelBytes(threeLayers())));
  const wrong = model.values!.map((value) => ({ ...value, type: type(7) }));
  await expect(run(modelBytes({ ...model, values: wrong }))).rejects.toThrow(/tensor\(int64\)/);
});

it("computes elements when a file is written, and rejects a number of them that does not fit the shape", () => {
  const model = threeLayers();
  let made = 0;
  const weights = model.weights.map((group) => ({
    ...group,
    make() {
      made++;
      return group.make();
    },
  }));
  const [file] = onnxFiles("model.onnx", { ...model, weights });
  expect(made).toBe(0);
  for (const _ of file.pieces());
  expect(made).toBe(weights.length);
  const [first, ...others] = weights;
  const short = { ...model, weights: [{ ...first!, make: () => [new Float32Array(3)] }, ...others] };
  expect(() => modelBytes(short)).toThrow(/has 12 bytes, but its shape is \[64,64\]/);
});
